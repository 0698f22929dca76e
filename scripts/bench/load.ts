import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { sha256 } from '../lib/image.ts'
import type { Peer } from '../lib/peers.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'

const pageBytes = 4096
const secondsMax = 600

/** Where the bytes are if no disk is to be measured. */
export const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/**
 * What wrk says about the requests that it sent. Times are in milliseconds. `countedPerSecond` is what the script of each
 * thread has counted in its global `counted`.
 */
export type Sent = Record<'perSecond' | 'countedPerSecond' | 'p50' | 'p99' | 'max', number>

/** How wrk sends a request; `script` is more of its script, in Lua. */
type Sending = { connections?: number; threads?: number; script?: string }

/** Returns a script that pauses before each request, so that the requests keep no core busy. */
export function paced(milliseconds: number): string {
  return `function delay() return ${milliseconds} end`
}

/** Sends a request over and over for so long. */
export async function wrk(url: string, sending: Sending, seconds: number): Promise<Sent> {
  return (await wrkDuring(url, sending, () => Bun.sleep(seconds * 1000))).sent
}

/**
 * Sends a request over and over until the work is done.
 * @throws Error if an answer is an error, or none comes
 */
export async function wrkDuring<T>(
  url: string,
  { connections = 1, threads = 1, script = '' }: Sending,
  work: () => Promise<T>,
): Promise<{ result: T; sent: Sent }> {
  await using folder = await temporaryFolder('wrk')
  const lua = join(folder.path, 'load.lua')
  await Bun.write(lua, counting + script)
  const size = [`-t${threads}`, `-c${connections}`, `-d${secondsMax}s`, '--timeout', '60s']
  const command = ['wrk', ...size, '-s', lua, '-H', `Accept: ${manifestMediaType}`, url]
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const printed = Promise.all([child.stdout.text(), child.stderr.text()])
  // It stops when it is interrupted, and says what it has measured.
  const result = await work().finally(() => child.kill('SIGINT'))
  const [output, errors] = await printed
  const { failed, count, ...sent } = JSON.parse(/\{.*\}/.exec(errors)?.[0] ?? '{}')
  if (failed !== 0 || count === 0) throw new Error(`${command.join(' ')}\n${output}${errors}`)
  return { result, sent }
}

/** The part of wrk's script that prints what was measured. */
const counting = `local threads = {}
function setup(thread)
  thread:set("id", #threads)
  table.insert(threads, thread)
end
function done(all, latency)
  local counted, e, seconds = 0, all.errors, all.duration / 1e6
  for _, thread in ipairs(threads) do counted = counted + (thread:get("counted") or 0) end
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.stderr:write(string.format(
    '{"count":%d,"failed":%d,"perSecond":%f,"countedPerSecond":%f,"p50":%f,"p99":%f,"max":%f}\\n',
    all.requests, failed, all.requests / seconds, counted / seconds,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency.max / 1000))
end
`

/** Starts curl with downloads, all at once, whose bytes it discards. */
function spawnCurl(urls: string[], more: string[]) {
  const parallel = ['--parallel', '--parallel-immediate', '--parallel-max', '300']
  const says = ['--write-out', '%{http_code} %{size_download} %{time_starttransfer} %{time_total}\\n']
  const command = [
    'curl',
    '--silent',
    ...(urls.length > 1 ? parallel : []),
    ...says,
    ...more,
    '--config',
    '-',
  ]
  const config = urls.map((url) => `url = "${url}"\noutput = "/dev/null"\n`).join('')
  // With several downloads, its progress is shown in any case.
  return Bun.spawn(command, { stdin: Buffer.from(config), stdout: 'pipe', stderr: 'ignore' })
}

/**
 * Downloads blobs, all at once. Returns the milliseconds from the first request to the last first byte and the last byte.
 * @throws Error if one is not as long as `size`
 */
export async function download(urls: string[], size: number): Promise<{ firstByte: number; done: number }> {
  const said = await spawnCurl(urls, ['--max-time', String(secondsMax)]).stdout.text()
  const lines = said.trim().split('\n')
  const times = lines.map((line) =>
    line
      .split(' ')
      .slice(2)
      .map((seconds) => Number(seconds) * 1000),
  )
  if (lines.length !== urls.length || !lines.every((line) => line.startsWith(`200 ${size} `)))
    throw new Error(`GET ${urls[0]}: not ${urls.length} times ${size} bytes\n${said}`)
  const slowest = (at: number) => Math.max(...times.map((line) => line[at] ?? Number.NaN))
  return { firstByte: slowest(0), done: slowest(1) }
}

/** Downloads at so many bytes a second each, while the work runs. */
export async function downloadingDuring<T>(urls: string[], rate: string, work: () => Promise<T>): Promise<T> {
  const child = spawnCurl(urls, ['--limit-rate', rate])
  return await work().finally(() => child.kill('SIGKILL'))
}

/** A piece of the random file: what is pushed, pulled, or written by the floor. */
export interface Piece {
  path: string
  offset: number
  size: number
  digest: string
}

export type RandomFile = Awaited<ReturnType<typeof randomFile>>

/** Makes one file of random bytes, whose pieces are all the content: no two pieces at different offsets are equal. */
export async function randomFile(folder: string, bytes: number) {
  const path = join(folder, 'random')
  await Bun.$`head --bytes ${bytes} /dev/urandom > ${path}`.quiet()
  const piece = async (offset: number, size: number) => {
    const hasher = new Bun.CryptoHasher('sha256')
    for await (const chunk of bodyOf({ path, offset, size }).stream()) hasher.update(chunk)
    return { path, offset, size, digest: `sha256:${hasher.digest('hex')}` }
  }
  return {
    /** Returns so many pieces of one size, spread over the file; another `turn` gives other ones. */
    async pieces(count: number, size: number, turn = 0): Promise<Piece[]> {
      const pages = Math.floor((bytes - size) / pageBytes / count)
      const pieces: Piece[] = []
      for (let i = 0; i < count; i++) pieces.push(await piece((i * pages + turn) * pageBytes, size))
      return pieces
    },
  }
}

/** Returns a piece as the body of a request: sent by sendfile, never read into memory. */
function bodyOf({ path, offset, size }: Omit<Piece, 'digest'>): Blob {
  return Bun.file(path).slice(offset, offset + size)
}

/** Pushes a blob as clients do with layers: POST, one PATCH of all bytes, PUT. Nothing is hashed here. */
export async function pushBlob({ registry }: Peer, repository: string, piece: Piece): Promise<void> {
  const location = await registry.append(await registry.startUpload(repository), bodyOf(piece))
  await registry.closeUpload(location, piece.digest)
}

/** Returns the manifest of an image whose config and only layer are one blob, about as long as most are. */
export function manifestOf(blob: Piece): Uint8Array {
  return imageManifest(blob, [blob], 'an image of one layer of random bytes'.repeat(10))
}

/** Stores such an image in a registry, or as files for nginx. Returns the paths of its parts. */
export async function publish(peer: Peer, repository: string, blob: Piece, tag = 'latest') {
  const bytes = manifestOf(blob)
  const path = (kind: string, reference: string) => `/v2/${repository}/${kind}/${reference}`
  const [byTag, byDigest] = [path('manifests', tag), path('manifests', sha256(bytes))]
  const paths = { tag: byTag, digest: byDigest, blob: path('blobs', blob.digest) }
  if (peer.name === 'nginx') {
    await writeContent(join(peer.data, paths.blob), bodyOf(blob).stream())
    for (const path of [byTag, byDigest]) await writeContent(join(peer.data, path), bytes)
  } else {
    await pushBlob(peer, repository, blob)
    await peer.registry.pushManifest(repository, tag, bytes)
  }
  return paths
}

async function writeContent(file: string, content: AsyncIterable<Uint8Array> | Uint8Array) {
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, content)
}

/** Measures the least cost of pieces: they are copied, synced and hashed one after another. Returns MB/s. */
export async function floor(folder: string, pieces: Piece[]): Promise<number> {
  const copies = pieces.map(({ path, offset, size }, i) => {
    const part = `bs=1M iflag=skip_bytes,count_bytes skip=${offset} count=${size}`
    return `dd if=${path} of=${folder}/${i} ${part} conv=fdatasync && sha256sum ${folder}/${i}`
  })
  await Bun.$`sync`.quiet()
  const began = performance.now()
  await runCommand(['sh', '-ec', copies.join('\n')], { secondsMax })
  return speedOf(pieces, performance.now() - began)
}

/** Returns MB/s. */
export function speedOf(pieces: Piece[], milliseconds: number): number {
  return pieces.reduce((sum, { size }) => sum + size, 0) / 1000 / milliseconds
}

/**
 * Writes so many bytes to memory and frees them. The first write to a page of a virtual machine is much slower than any
 * later one, and only the first contestant would pay for it.
 */
export async function warmMemory(bytes: number): Promise<void> {
  await using folder = await temporaryFolder('bench-warm', memory)
  await Bun.$`head --bytes ${bytes} /dev/zero > ${join(folder.path, 'zero')}`.quiet()
}
