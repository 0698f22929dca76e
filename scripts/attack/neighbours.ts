import { parseArgs } from 'node:util'
import { processUsage } from '../bench/process-usage.ts'
import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { Random } from '../soak/random.ts'
import { slowClients } from './bodies.ts'
import { largeConfig, largeManifest } from './describing.ts'
import { mutate } from './mutation.ts'
import { exchange } from './raw-exchange.ts'
import { recordRequests, renew } from './recorded.ts'
import { smallMachine } from './small-machine.ts'
import { ATTACKER, CHECKER, CONFIG, LAYER, PASSWORD, pushImage, startTarget, type Target } from './target.ts'

const CONNECTIONS = 4
const MiB = 1024 * 1024
const as = `${ATTACKER}:${PASSWORD}`
const user = `${CHECKER}:${PASSWORD}`
const REPOSITORY = `${ATTACKER}/app`

/** What an attacker does again and again on each of its connections. */
type Attacker = (target: Target) => Promise<Attack>
interface Attack extends AsyncDisposable {
  once: (count: number) => Promise<unknown>
}

/**
 * `attack neighbours [--seconds 6] [attacker ...]`: an attacker of each kind beside a normal user, on one processor with
 * 512 MB; the user's pushes and pulls must keep half of their rate.
 */
export async function neighbours(args: string[]): Promise<void> {
  const options = { seconds: { type: 'string', default: '6' } } as const
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  const seconds = Number(values.seconds)
  await using machine = await smallMachine()
  console.log(`neighbours on ${machine.limits}; the attacker has ${CONNECTIONS} connections`)
  const faults: string[] = []
  for (const [name, attacker] of Object.entries(ATTACKERS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    await using target = await startTarget({ executable: machine.executable, logLinesMax: 20 })
    await pushImage(target, REPOSITORY, 'latest', as)
    await pushImage(target, `${CHECKER}/app`, 'latest', user)
    const alone = await userRates(target, seconds)
    const beside = await besideAttack(target, attacker, seconds)
    const share = Math.min(beside.pushes / alone.pushes, beside.pulls / alone.pulls)
    const rss = Math.round(processUsage(target.server.pid).rssBytes / MiB)
    const line =
      `${name}: pushes ${beside.pushes.toFixed(0)}/s of ${alone.pushes.toFixed(0)}, pulls ` +
      `${beside.pulls.toFixed(0)}/s of ${alone.pulls.toFixed(0)}, ${beside.attacks} attacks, ${rss} MiB`
    console.log(`${share >= 0.5 ? 'ok  ' : 'FAIL'} ${line}`)
    if (share < 0.5) faults.push(line)
  }
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

async function besideAttack(target: Target, attacker: Attacker, seconds: number) {
  await using attack = await attacker(target)
  const state = { isDone: false, attacks: 0 }
  const repeat = async () => {
    while (!state.isDone) {
      await attack.once(state.attacks++).catch(() => {})
      // A client needs a moment, too.
      await new Promise(setImmediate)
    }
  }
  const attacks = Array.from({ length: CONNECTIONS }, repeat)
  const rates = await userRates(target, seconds)
  state.isDone = true
  await Promise.all(attacks)
  return { ...rates, attacks: state.attacks }
}

/** A user with some clients of each kind, which push and pull one image after the other. */
async function userRates(target: Target, seconds: number): Promise<{ pushes: number; pulls: number }> {
  const until = performance.now() + seconds * 1000
  const counts = { pushes: 0, pulls: 0 }
  const push = async () => {
    for (let n = 0; performance.now() < until; n++) {
      await pushImage(target, `${CHECKER}/pushed`, `t${n % 50}`, user)
      counts.pushes++
    }
  }
  const pull = async () => {
    while (performance.now() < until) {
      const headers = { accept: manifestMediaType }
      await target.ask('GET', `/v2/${CHECKER}/app/manifests/latest`, { as: user, headers })
      await target.ask('GET', `/v2/${CHECKER}/app/blobs/${sha256(LAYER)}`, { as: user })
      counts.pulls++
    }
  }
  await Promise.all([push(), push(), pull(), pull()])
  return { pushes: counts.pushes / seconds, pulls: counts.pulls / seconds }
}

const repeating = (once: Attack['once']): Attack => ({ once, async [Symbol.asyncDispose]() {} })

const ATTACKERS: Record<string, Attacker> = {
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
        body: { name: `user${n % 1000}`, password: `wrong-${n}` },
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
