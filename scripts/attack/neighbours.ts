import { parseArgs } from 'node:util'
import { throwFaults } from '../lib/cases.ts'
import { sha256 } from '../lib/image.ts'
import { processUsage } from '../lib/process-usage.ts'
import { manifestMediaType } from '../lib/registry.ts'
import { ATTACKERS } from './attackers.ts'
import { smallMachine } from './small-machine.ts'
import { ATTACKER, CHECKER, LAYER, pushImage, startTarget, type Target } from './target.ts'

const MiB = 1024 * 1024

/** A user's clients pause so long between two images, as they have something else to do, too. */
const PAUSE_MILLISECONDS = 20

/**
 * `attack neighbours [--seconds 6] [attacker ...]`: an attacker of each kind beside a normal user, on one processor with
 * 512 MB; the user's pushes and pulls must keep half of their rate.
 * @throws Error with the attackers beside whom they do not
 */
export async function neighbours(args: string[]): Promise<void> {
  const options = { seconds: { type: 'string', default: '6' } } as const
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  const seconds = Number(values.seconds)
  await using machine = await smallMachine()
  console.log(`neighbours on ${machine.limits}`)
  const faults: string[] = []
  for (const name of Object.keys(ATTACKERS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue
    await using target = await startTarget({ executable: machine.executable, logLinesMax: 20 })
    await pushImage(target.attacker, `${ATTACKER}/app`)
    await pushImage(target.checker, `${CHECKER}/app`)
    const alone = await userRates(target, seconds)
    const attack = await beginAttack(target, name)
    const beside = await userRates(target, seconds)
    const attacks = await attack.stop()
    const share = Math.min(beside.pushes / alone.pushes, beside.pulls / alone.pulls)
    const rss = Math.round(processUsage(target.server.pid).rssBytes / MiB)
    const line =
      `${name}: pushes ${beside.pushes.toFixed(0)}/s of ${alone.pushes.toFixed(0)}, pulls ` +
      `${beside.pulls.toFixed(0)}/s of ${alone.pulls.toFixed(0)}, ${attacks} attacks, ${rss} MiB`
    console.log(`${share >= 0.5 ? 'ok  ' : 'FAIL'} ${line}`)
    if (share < 0.5) faults.push(line)
  }
  throwFaults(faults)
}

/** Lets a thread attack, so that it takes nothing from the user but what it takes from the server. */
async function beginAttack({ url }: Target, name: string) {
  const worker = new Worker(new URL('./attacker-thread.ts', import.meta.url))
  const next = () =>
    new Promise<unknown>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data)
      worker.onerror = ({ message }) => reject(new Error(message))
    })
  const begun = next()
  worker.postMessage({ url, name })
  await begun
  return {
    async stop(): Promise<unknown> {
      const ended = next()
      worker.postMessage('stop')
      const count = await ended
      worker.terminate()
      return count
    },
  }
}

/** A user with two clients that push and two that pull, one image after the other. */
async function userRates({ checker }: Target, seconds: number): Promise<{ pushes: number; pulls: number }> {
  const until = performance.now() + seconds * 1000
  const counts = { pushes: 0, pulls: 0 }
  const push = async () => {
    for (let n = 0; performance.now() < until; n++) {
      await pushImage(checker, `${CHECKER}/pushed`, `t${n % 50}`)
      counts.pushes++
      await Bun.sleep(PAUSE_MILLISECONDS)
    }
  }
  const pull = async () => {
    while (performance.now() < until) {
      const headers = { accept: manifestMediaType }
      await checker.send('GET', `/v2/${CHECKER}/app/manifests/latest`, { headers })
      await checker.send('GET', `/v2/${CHECKER}/app/blobs/${sha256(LAYER)}`)
      counts.pulls++
      await Bun.sleep(PAUSE_MILLISECONDS)
    }
  }
  await Promise.all([push(), push(), pull(), pull()])
  return { pushes: counts.pushes / seconds, pulls: counts.pulls / seconds }
}
