import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { Random } from '../soak/random.ts'
import { slowClients } from './bodies.ts'
import { INDEX_TYPE, largeConfig, largeIndex, largeManifest } from './describing.ts'
import { mutate } from './mutation.ts'
import { exchange } from './raw-exchange.ts'
import { recordRequests, renew } from './recorded.ts'
import { ATTACKER, CHECKER, type Client, CONFIG, LAYER, MANIFEST, PASSWORD } from './target.ts'

const MiB = 1024 * 1024
const as = `${ATTACKER}:${PASSWORD}`
const REPOSITORY = `${ATTACKER}/app`

/** What an attacker does again and again, on several connections. */
interface Attack extends AsyncDisposable {
  once: (count: number) => Promise<unknown>
}

const repeating = (once: Attack['once']): Attack => ({ once, async [Symbol.asyncDispose]() {} })

/** An attacker of each kind, by name: what it prepares, and then repeats. */
export const ATTACKERS: Record<string, (target: Client) => Promise<Attack>> = {
  async 'slow-bodies'(target) {
    const slow = slowClients(target)
    return { once: () => Bun.sleep(500), [Symbol.asyncDispose]: () => slow[Symbol.asyncDispose]() }
  },

  async describing(target) {
    const body = largeManifest()
    const headers = { 'content-type': manifestMediaType }
    await target.ask('PUT', `/v2/${REPOSITORY}/manifests/large`, { as, headers, body })
    const path = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}/manifests/large`
    return repeating(() => target.ask('GET', path, { as }))
  },

  async 'large-manifests'(target) {
    const headers = { 'content-type': manifestMediaType }
    const body = largeManifest()
    return repeating((n) =>
      target.ask('PUT', `/v2/${REPOSITORY}/manifests/l${n % 20}`, { as, headers, body }),
    )
  },

  async 'large-indexes'(target) {
    const headers = { 'content-type': INDEX_TYPE }
    return repeating((n) =>
      target.ask('PUT', `/v2/${REPOSITORY}/manifests/i${n % 20}`, {
        as,
        headers,
        body: largeIndex(String(n)),
      }),
    )
  },

  async referrers(target) {
    const headers = { 'content-type': INDEX_TYPE }
    const subject = sha256(MANIFEST)
    const path = `/v2/${REPOSITORY}/manifests/${subject.replace(':', '-')}`
    await target.ask('PUT', path, { as, headers, body: largeIndex() })
    return repeating(() => target.ask('GET', `/v2/${REPOSITORY}/referrers/${subject}`, { as }))
  },

  async conversions(target) {
    const config = largeConfig()
    await target.ask('POST', `/v2/${REPOSITORY}/blobs/uploads/?digest=${sha256(config)}`, {
      as,
      body: config,
    })
    const layer = { digest: sha256(LAYER), size: LAYER.length }
    const body = new Uint8Array(imageManifest({ digest: sha256(config), size: config.length }, [layer], 'n'))
    const headers = { 'content-type': manifestMediaType }
    const accept = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
    return repeating(async (n) => {
      await target.ask('PUT', `/v2/${REPOSITORY}/manifests/c${n}`, { as, headers, body })
      await target.ask('GET', `/v2/${REPOSITORY}/manifests/c${n}`, { as, headers: { accept } })
    })
  },

  async grants(target) {
    return repeating((n) =>
      target.ask('PUT', '/api/v1/grants', {
        as,
        body: { subject: 'x', pattern: `${ATTACKER}/p${n % 900}/**`, role: 'reader' },
      }),
    )
  },

  async guesses(target) {
    return repeating((n) =>
      target.ask('POST', '/api/v1/session', {
        from: `203.0.113.${n % 250}`,
        body: { username: `user${n % 1000}`, password: `wrong-${n}` },
      }),
    )
  },

  async refusals(target) {
    const path = `/api/v1/users/someone?${'y'.repeat(10_000)}`
    return repeating(() => target.ask('GET', path, { as }))
  },

  async fuzz(target) {
    const recorded = await renew(target, await recordRequests(target))
    const random = new Random(1)
    const url = new URL(target.url)
    return repeating(() => {
      const { parts } = mutate(random.pick(recorded) ?? recorded[0]!, recorded, random)
      return Buffer.concat(parts).includes(CHECKER) ? Promise.resolve() : exchange(url, parts)
    })
  },

  async uploads(target) {
    const body = new Uint8Array(4 * MiB)
    return repeating(async (n) => {
      body[0] = n
      const digest = sha256(body)
      await target.ask('POST', `/v2/${REPOSITORY}/blobs/uploads/?digest=${digest}`, { as, body })
    })
  },

  async lists(target) {
    for (let n = 0; n < 300; n++) {
      const body = imageManifest({ digest: sha256(CONFIG), size: CONFIG.length }, [], `tag ${n}`)
      const headers = { 'content-type': manifestMediaType }
      await target.ask('PUT', `/v2/${REPOSITORY}/manifests/t${n}`, {
        as,
        headers,
        body: new Uint8Array(body),
      })
    }
    const path = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}/manifests?limit=500`
    return repeating(() => target.ask('GET', path, { as }))
  },
}
