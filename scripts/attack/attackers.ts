import { sha256 } from '../lib/image.ts'
import { imageManifest } from '../lib/registry.ts'
import { Random } from '../soak/random.ts'
import { slowClients } from './bodies.ts'
import { imageWithConfig, largeConfig, largeIndex, largeManifest, putIndex } from './describing.ts'
import { mutate } from './mutation.ts'
import { exchange } from './raw-exchange.ts'
import { recordRequests, renew } from './recorded.ts'
import { ATTACKER, CHECKER, type Clients, CONFIG, clientOf, described, MANIFEST } from './target.ts'

const MiB = 1024 * 1024
const REPOSITORY = `${ATTACKER}/app`
const RESOURCE = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}`

/** What an attacker does again and again, on several connections. */
interface Attack extends AsyncDisposable {
  once: (count: number) => Promise<unknown>
}

const repeating = (once: Attack['once']): Attack => ({ once, async [Symbol.asyncDispose]() {} })

/** An attacker of each kind, by name: what it prepares, and then repeats. */
export const ATTACKERS: Record<string, (target: Clients) => Promise<Attack>> = {
  async 'slow-bodies'(target) {
    const slow = slowClients(target)
    return { once: () => Bun.sleep(500), [Symbol.asyncDispose]: () => slow[Symbol.asyncDispose]() }
  },

  async describing({ attacker }) {
    await attacker.putManifest(REPOSITORY, 'large', largeManifest())
    return repeating(() => attacker.send('GET', `${RESOURCE}/manifests/large`))
  },

  async 'large-manifests'({ attacker }) {
    const body = largeManifest()
    return repeating((n) => attacker.putManifest(REPOSITORY, `l${n % 20}`, body))
  },

  async 'large-indexes'({ attacker }) {
    return repeating((n) => putIndex(attacker, REPOSITORY, `i${n % 20}`, largeIndex(String(n))))
  },

  async referrers({ attacker }) {
    const subject = sha256(MANIFEST)
    await putIndex(attacker, REPOSITORY, subject.replace(':', '-'), largeIndex())
    return repeating(() => attacker.send('GET', `/v2/${REPOSITORY}/referrers/${subject}`))
  },

  async conversions({ attacker }) {
    const config = largeConfig()
    await attacker.postBlob(REPOSITORY, config)
    const body = imageWithConfig(config)
    const headers = { accept: 'application/vnd.docker.distribution.manifest.v1+prettyjws' }
    return repeating(async (n) => {
      await attacker.putManifest(REPOSITORY, `c${n}`, body)
      await attacker.send('GET', `/v2/${REPOSITORY}/manifests/c${n}`, { headers })
    })
  },

  async grants({ attacker }) {
    const grant = (n: number) => ({ subject: 'x', pattern: `${ATTACKER}/p${n % 900}/**`, role: 'reader' })
    return repeating((n) => attacker.send('PUT', '/api/v1/grants', { json: grant(n) }))
  },

  async guesses({ url }) {
    return repeating((n) => {
      const json = { username: `user${n % 1000}`, password: `wrong-${n}` }
      return clientOf(url, undefined, `203.0.113.${n % 250}`).send('POST', '/api/v1/session', { json })
    })
  },

  async refusals({ attacker }) {
    const path = `/api/v1/users/someone?${'y'.repeat(10_000)}`
    return repeating(() => attacker.send('GET', path))
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

  async uploads({ attacker }) {
    const body = new Uint8Array(4 * MiB)
    return repeating(async (n) => {
      body[0] = n
      await attacker.postBlob(REPOSITORY, body)
    })
  },

  async lists({ attacker }) {
    for (let n = 0; n < 300; n++)
      await attacker.putManifest(REPOSITORY, `t${n}`, imageManifest(described(CONFIG), [], `tag ${n}`))
    return repeating(() => attacker.send('GET', `${RESOURCE}/manifests?limit=500`))
  },
}
