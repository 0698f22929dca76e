/**
 * The memory of the executable under load that clients choose, and what slow clients take from fast ones. `MEMORY_MIB=100`
 * transfers blobs of 100 MiB instead of 24. It compares times, so it runs beside nothing else.
 */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { connect, type Socket } from 'node:net'
import { processUsage } from '../../scripts/lib/process-usage.ts'
import { imageManifest, type Registry, randomBlob } from '../../scripts/lib/registry.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { ATTACKER, checkService, largeManifest, PASSWORD, pushImage, startTarget } from './target.ts'

const MiB = 1024 * 1024
const blobBytes = Number(process.env.MEMORY_MIB ?? 24) * MiB
setDefaultTimeout(300_000)

/** The most memory, in MiB: the server's parts have bounds, and the engine's garbage comes on top. */
const [transfersMax, manifestsMax, slowMax] = [350, 640, 250]
const repository = 'memory/large'
/** Transfers or manifests at the same time. */
const atOnce = 64
const manifestBytes = 4 * MiB

test(`memory: ${atOnce} uploads and ${atOnce} downloads at once take at most ${transfersMax} MiB`, async () => {
  await using server = await startServer()
  const { registry } = server
  const blob = new LargeBlobs(blobBytes)
  const first = await push(registry, blob, 0)
  await Promise.all(
    Array.from({ length: atOnce }, (_, i) => [
      push(registry, blob, i + 1),
      download(registry, first, blobBytes),
    ]).flat(),
  )
  expect(processUsage(server.pid).peakRssBytes / MiB).toBeLessThanOrEqual(transfersMax)
})

test(`memory: ${atOnce} pushes of the largest manifests at once take at most ${manifestsMax} MiB`, async () => {
  await using server = await startServer()
  const { registry } = server
  const { bytes: config, ...described } = randomBlob(32)
  await registry.pushBlob(repository, described.digest, config)
  const frame = imageManifest(described, [], '').length
  const putManifest = async (_: unknown, number: number) => {
    const body = imageManifest(described, [], String(number).padEnd(manifestBytes - frame, '.'))
    await registry.pushManifest(repository, String(number), body)
  }
  await Promise.all(Array.from({ length: atOnce }, putManifest))
  expect(processUsage(server.pid).peakRssBytes / MiB).toBeLessThanOrEqual(manifestsMax)
})

test('slow clients: 128 slow uploads and 128 slow downloads take little memory, and do not delay a fast client', async () => {
  const slowCount = 128
  await using server = await startServer()
  const { registry } = server
  const blob = new LargeBlobs(32 * MiB)
  const digest = await push(registry, blob, 0)
  const time = async (number: number) => {
    const began = performance.now()
    await download(registry, await push(registry, blob, number), blob.size)
    return performance.now() - began
  }
  const alone = await time(1)
  const state = { isTrickling: true }
  const trickles = Array.from({ length: slowCount }, () => trickle(registry, state))
  const readers = stalledReaders(server.port, `/v2/${repository}/blobs/${digest}`, slowCount)
  await readers.begun
  const beside = await time(2)
  state.isTrickling = false
  readers.close()
  await Promise.all(trickles)
  expect(beside).toBeLessThanOrEqual(4 * alone + 500)
  expect(processUsage(server.pid).peakRssBytes / MiB).toBeLessThanOrEqual(slowMax)
})

test('slow readers: 200 downloads of a manifest of 4 MiB that one client does not read take at most 150 MiB, and delay nobody', async () => {
  await using target = await startTarget()
  const path = `/v2/${ATTACKER}/app/manifests/large`
  await pushImage(target.attacker, `${ATTACKER}/app`)
  await target.attacker.pushManifest(`${ATTACKER}/app`, 'large', largeManifest().padEnd(manifestBytes))
  await target.attacker.send('GET', path)
  const memory = () => processUsage(target.server.pid).rssBytes / MiB
  const before = memory()
  const as = `X-Forwarded-For: 203.0.113.9\r\nAuthorization: Basic ${btoa(`${ATTACKER}:${PASSWORD}`)}\r\n`
  const readers = stalledReaders(target.server.port, path, 200, as)
  const began = performance.now()
  await checkService(target)
  expect(performance.now() - began).toBeLessThanOrEqual(3000)
  // Those beyond a client's share have to wait.
  await Promise.race([readers.begun, Bun.sleep(15_000)])
  expect(memory() - before).toBeLessThanOrEqual(150)
  readers.close()
})

/** Opens connections that request a path, and read no more than the beginning of the response. */
function stalledReaders(port: number, path: string, count: number, headers = '') {
  const begun: Promise<void>[] = []
  const sockets = Array.from({ length: count }, (): Socket => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`)
    const first = new Promise<void>((resolve) => socket.once('data', () => resolve()))
    begun.push(first.then(() => void socket.pause()))
    return socket
  })
  const close = () => {
    for (const socket of sockets) socket.destroy()
  }
  return { begun: Promise.all(begun), close }
}

/** Uploads a few bytes now and then. */
async function trickle(registry: Registry, state: { isTrickling: boolean }): Promise<void> {
  const location = await registry.startUpload(repository)
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      controller.enqueue(new Uint8Array(100))
      await Bun.sleep(50)
      if (!state.isTrickling) controller.close()
    },
  })
  await registry.append(location, body)
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
  expect(response.status).toBe(200)
  let read = 0
  for await (const chunk of response.body!) read += chunk.length
  expect(read).toBe(size)
}

/** Blobs that differ only in their last chunk, so that they need little memory and hashing here. */
class LargeBlobs {
  readonly size: number
  private readonly chunk = Buffer.alloc(MiB, crypto.getRandomValues(new Uint8Array(65_536)))
  private readonly begun = new Bun.CryptoHasher('sha256')

  constructor(size: number) {
    this.size = size
    for (let at = this.chunk.length; at < size; at += this.chunk.length) this.begun.update(this.chunk)
  }

  digest(number: number): string {
    return `sha256:${this.begun.copy().update(this.last(number)).digest('hex')}`
  }

  stream(number: number): ReadableStream<Uint8Array> {
    let at = 0
    return new ReadableStream({
      pull: (controller) => {
        at += this.chunk.length
        controller.enqueue(at < this.size ? this.chunk : this.last(number))
        if (at >= this.size) controller.close()
      },
    })
  }

  private last(number: number): Uint8Array {
    const last = new Uint8Array(this.chunk)
    new DataView(last.buffer).setUint32(0, number)
    return last
  }
}
