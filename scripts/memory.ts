import { parseArgs } from 'node:util'
import { throwFaults } from './lib/cases.ts'
import { processUsage } from './lib/process-usage.ts'
import { imageManifest, type Registry, randomBlob } from './lib/registry.ts'
import { startServer } from './lib/server.ts'

const MiB = 1024 * 1024
const peakMiBMax = 250
const transfersCount = 64
const manifestBytes = 4 * MiB
const manifestsCount = 64
const slowCount = 128
/** How much slower slow clients can make a fast one. */
const slowdownMax = 4

const repository = 'memory/large'

/**
 * `memory [--mib 100]`: measures the peak memory of the executable with 64 uploads and 64 downloads of this size at the
 * same time, and with 64 pushes of the largest manifests; and whether slow clients delay a fast one. Needs Linux.
 * @throws Error if the peak is above the target, or slow clients starve others
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { mib: { type: 'string', default: '100' } } })
  const bytes = Number(values.mib) * MiB
  const faults: string[] = []
  for (const load of [transfers, largestManifests, slowClients]) {
    await using server = await startServer()
    const said = await load(server.registry, bytes)
    const peak = processUsage(server.pid).peakRssBytes / MiB
    const line = `${said}: peak ${peak.toFixed(0)} MiB`
    console.log(line)
    if (peak > peakMiBMax) faults.push(`${line}, more than ${peakMiBMax}`)
  }
  throwFaults(faults)
}

async function transfers(registry: Registry, bytes: number): Promise<string> {
  const blob = new LargeBlobs(bytes)
  const first = await push(registry, blob, 0)
  const began = performance.now()
  const uploads = Array.from({ length: transfersCount }, (_, i) => push(registry, blob, i + 1))
  const downloads = Array.from({ length: transfersCount }, () => download(registry, first, bytes))
  await Promise.all([...uploads, ...downloads])
  const seconds = (performance.now() - began) / 1000
  return `${transfersCount} uploads and ${transfersCount} downloads of ${bytes / MiB} MiB in ${seconds.toFixed(1)} s`
}

async function largestManifests(registry: Registry): Promise<string> {
  const { bytes: config, ...described } = randomBlob(32)
  await registry.pushBlob(repository, described.digest, config)
  const frame = imageManifest(described, [], '').length
  const putManifest = async (_: unknown, number: number) => {
    const body = imageManifest(described, [], String(number).padEnd(manifestBytes - frame, '.'))
    await registry.pushManifest(repository, String(number), body)
  }
  await Promise.all(Array.from({ length: manifestsCount }, putManifest))
  return `${manifestsCount} manifests of ${manifestBytes / MiB} MiB at once`
}

/** Measures a fast client beside clients that send slowly, and others that do not read their downloads. */
async function slowClients(registry: Registry): Promise<string> {
  const blob = new LargeBlobs(32 * MiB)
  const digest = await push(registry, blob, 0)
  const alone = await time(registry, blob, 1)
  const state = { trickling: true }
  const trickles = Array.from({ length: slowCount }, () => trickle(registry, state))
  const pauses = await Promise.all(Array.from({ length: slowCount }, () => pause(registry, digest)))
  const beside = await time(registry, blob, 2)
  state.trickling = false
  for (const socket of pauses) socket.end()
  await Promise.all(trickles)
  const line =
    `push and pull of 32 MiB alone in ${alone.toFixed(0)} ms, ` +
    `beside ${slowCount} slow uploads and ${slowCount} slow downloads in ${beside.toFixed(0)} ms`
  if (beside > slowdownMax * alone + 500) throw new Error(`${line}: slow clients delay fast ones`)
  return line
}

async function time(registry: Registry, blob: LargeBlobs, number: number): Promise<number> {
  const began = performance.now()
  await download(registry, await push(registry, blob, number), blob.size)
  return performance.now() - began
}

/** An upload that sends a few bytes now and then. */
async function trickle(registry: Registry, state: { trickling: boolean }): Promise<void> {
  const location = await registry.startUpload(repository)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(new Uint8Array(100))
      await Bun.sleep(50)
      if (!state.trickling) controller.close()
    },
  })
  await registry.append(location, body)
}

/** A download that stops after its first bytes. */
async function pause({ address }: Registry, digest: string) {
  const [hostname = '', port] = address.split(':')
  const came = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(socket) {
        socket.pause()
        came.resolve()
      },
    },
  })
  socket.write(`GET /v2/${repository}/blobs/${digest} HTTP/1.1\r\nHost: ${address}\r\n\r\n`)
  await came.promise
  return socket
}

async function push(registry: Registry, blob: LargeBlobs, number: number): Promise<string> {
  const digest = blob.digest(number)
  const location = await registry.startUpload(repository)
  await registry.append(location, blob.stream(number))
  await registry.closeUpload(location, digest)
  return digest
}

/** Reads a blob and discards it. */
async function download({ address }: Registry, digest: string, size: number): Promise<void> {
  const response = await fetch(`http://${address}/v2/${repository}/blobs/${digest}`)
  if (response.status !== 200 || response.body === null)
    throw new Error(`unexpected status of a pull: ${response.status}`)
  let read = 0
  for await (const chunk of response.body) read += chunk.length
  if (read !== size) throw new Error(`received ${read} of ${size} bytes`)
}

/** Blobs that differ only in their last chunk, so that they need little memory and hashing here. */
class LargeBlobs {
  readonly size: number
  private readonly chunk = crypto.getRandomValues(new Uint8Array(MiB))
  private readonly begun = new Bun.CryptoHasher('sha256')

  constructor(size: number) {
    this.size = size
    for (let at = MiB; at < size; at += MiB) this.begun.update(this.chunk)
  }

  digest(number: number): string {
    return `sha256:${this.begun.copy().update(this.last(number)).digest('hex')}`
  }

  stream(number: number): ReadableStream<Uint8Array> {
    let at = 0
    return new ReadableStream({
      pull: (controller) => {
        at += MiB
        controller.enqueue(at < this.size ? this.chunk : this.last(number))
        if (at >= this.size) controller.close()
      },
    })
  }

  private last(number: number): Uint8Array {
    const last = this.chunk.slice()
    new DataView(last.buffer).setUint32(0, number)
    return last
  }
}
