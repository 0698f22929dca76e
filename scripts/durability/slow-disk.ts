import { sha256 } from '../clients/image.ts'
import { imageManifest, Registry } from '../registry.ts'
import { startTraced } from './strace.ts'

const syncMilliseconds = 50
/** What the slow disk may add to a pull's p99. */
const addedMillisecondsMax = 10
const pushersCount = 8
/** Pulls begin at a fixed rate, so that none is left out while the server is busy with something else. */
const pullMilliseconds = 4
const pullsCount = 1500
/** So many images must be pushed meanwhile, or the figures say nothing. */
const pushesMin = 40
const layerBytes = 256 * 1024

const repository = 'durability/slow'

/** The same pushes and pulls with each sync as it is, and with each one slowed down. Returns a line with the figures. */
export async function checkSlowDisk(): Promise<string> {
  const calls = 'fsync,fdatasync'
  const fast = await measure(['-e', `trace=${calls}`])
  const delay = `inject=${calls}:delay_exit=${syncMilliseconds * 1000}`
  const slow = await measure(['-e', `trace=${calls}`, '-e', delay])
  const line =
    `p99 of a manifest pull beside ${pushersCount} pushers: ${fast.p99.toFixed(1)} ms (${fast.pushes} pushes), ` +
    `with syncs of ${syncMilliseconds} ms ${slow.p99.toFixed(1)} ms (${slow.pushes} pushes)`
  if (slow.pushes < pushesMin) throw new Error(`${line}: too few pushes`)
  if (slow.p99 - fast.p99 > addedMillisecondsMax)
    throw new Error(`${line}: more than ${addedMillisecondsMax} ms more`)
  return line
}

/** Pulls a manifest at a fixed rate while others push images: the p99 in milliseconds, and the images pushed. */
async function measure(options: string[]): Promise<{ p99: number; pushes: number }> {
  await using traced = await startTraced(options)
  const registry = new Registry(traced.server.address)
  await pushImage(registry, 'first')
  const state = { pulling: true, pushes: 0 }
  const push = async (number: number) => {
    for (; state.pulling; state.pushes++) await pushImage(registry, `pusher-${number}`)
  }
  const pushers = Promise.all(Array.from({ length: pushersCount }, (_, number) => push(number)))
  const pulls: Promise<number>[] = []
  for (let due = performance.now(); pulls.length < pullsCount; due += pullMilliseconds) {
    await Bun.sleep(Math.max(0, due - performance.now()))
    pulls.push(pull(registry, due))
  }
  const times = (await Promise.all(pulls)).sort((a, b) => a - b)
  state.pulling = false
  await pushers
  return { p99: times[Math.floor(times.length * 0.99)] ?? 0, pushes: state.pushes }
}

async function pull(registry: Registry, due: number): Promise<number> {
  await registry.expect([200], 'GET', `/v2/${repository}/manifests/first`)
  return performance.now() - due
}

/** Pushes a small image; its tag moves, so that nothing can be answered from memory for long. */
async function pushImage(registry: Registry, tag: string): Promise<void> {
  const bytes = crypto.getRandomValues(new Uint8Array(layerBytes))
  const layer = { digest: sha256(bytes), size: bytes.length }
  await registry.pushBlob(repository, layer.digest, bytes)
  await registry.pushManifest(repository, tag, imageManifest(layer, [layer], tag))
}
