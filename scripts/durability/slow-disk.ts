import { percentile } from '../lib/percentiles.ts'
import type { Registry } from '../lib/registry.ts'
import { whileRepeating } from '../lib/repeated.ts'
import { startTraced } from './strace.ts'

const syncMilliseconds = 50
/** How much the slow disk may add to the p99 of a pull. */
const addedMillisecondsMax = 10
const pushersCount = 8
/** Pulls start at a fixed rate, so that a busy server does not reduce their number. */
const pullMilliseconds = 4
const pullsCount = 1500
/** The fewest pushes during the measurement for it to be meaningful. */
const pushesMin = 40
const layerBytes = 256 * 1024

const repository = 'durability/slow'

/** How often it is measured at most. Other load on the machine only adds to a measurement, so one good one is enough. */
const attemptsMax = 3

/** Runs the same pushes and pulls with normal and with slow syncs. Returns a line for each kind of pull. */
export async function checkSlowDisk(): Promise<string[]> {
  let faults: string[] = []
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const compared = await compare()
    faults = compared.flatMap(({ line, fault }) => (fault === undefined ? [] : [`${line}: ${fault}`]))
    if (faults.length === 0) return compared.map(({ line }) => line)
  }
  throw new Error(faults.join('\n'))
}

async function compare(): Promise<{ line: string; fault: string | undefined }[]> {
  const calls = 'fsync,fdatasync'
  const fast = await measure(['-e', `trace=${calls}`])
  const delay = `inject=${calls}:delay_exit=${syncMilliseconds * 1000}`
  const slow = await measure(['-e', `trace=${calls}`, '-e', delay])
  return (['manifest', 'blob'] as const).map((kind) => {
    const line =
      `p99 of a ${kind} pull beside ${pushersCount} pushers: ${fast[kind].toFixed(1)} ms (${fast.pushes} pushes), ` +
      `with syncs of ${syncMilliseconds} ms ${slow[kind].toFixed(1)} ms (${slow.pushes} pushes)`
    if (slow.pushes < pushesMin) return { line, fault: 'too few pushes' }
    const isSlower = slow[kind] - fast[kind] > addedMillisecondsMax
    return { line, fault: isSlower ? `more than ${addedMillisecondsMax} ms more` : undefined }
  })
}

interface Measured {
  /** The p99 of the pulls of each kind, in milliseconds. */
  manifest: number
  blob: number
  /** Images. */
  pushes: number
}

/** Pulls a manifest and a blob in a file by turns, at a fixed rate, while other clients push images. */
async function measure(options: string[]): Promise<Measured> {
  await using traced = await startTraced(options)
  const registry = traced.server.registry
  const digest = await registry.pushRandomImage(repository, 'first', layerBytes)
  let pushes = 0
  const push = async () => {
    // The tags move, so that no response can come from memory for long.
    await registry.pushRandomImage(repository, `pushed-${pushes % pushersCount}`, layerBytes)
    pushes++
  }
  const pulls: Promise<number>[][] = [[], []]
  const pullAll = async () => {
    for (let due = performance.now(), n = 0; n < pullsCount; n++, due += pullMilliseconds) {
      await Bun.sleep(Math.max(0, due - performance.now()))
      pulls[n % 2]?.push(pull(registry, n % 2 === 0 ? 'manifests/first' : `blobs/${digest}`, due))
    }
    return await Promise.all(pulls.map(async (times) => percentile(await Promise.all(times), 0.99)))
  }
  const [manifest = 0, blob = 0] = await whileRepeating(push, pullAll, pushersCount)
  return { manifest, blob, pushes }
}

async function pull(registry: Registry, path: string, due: number): Promise<number> {
  await registry.get(`/v2/${repository}/${path}`)
  return performance.now() - due
}
