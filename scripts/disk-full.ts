import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { throwFaults } from './lib/cases.ts'
import { sha256 } from './lib/image.ts'
import {
  type Answer,
  type Described,
  imageManifest,
  type Registry,
  randomBlob,
  sizeOf,
} from './lib/registry.ts'
import { whileRepeating } from './lib/repeated.ts'
import { startServer } from './lib/server.ts'
import { temporaryFileSystem } from './lib/temporary-folder.ts'
import { checkDatabase, checkDataFolder } from './soak/data-folder.ts'

const MiB = 1024 * 1024
const diskMiB = 24
const blobBytes = 6 * MiB
const manifestBytes = 256 * 1024
/** A full disk must refuse a manifest after at most this many. */
const manifestsMax = 200

const repository = 'disk/full'

/** A registry on a small file system, which the test fills with a file. */
interface Disk {
  registry: Registry
  data: string
  /** An image that was pushed before the disk was full. Its tag is `before`. */
  before: string
  /** Leaves so many bytes free. */
  fill(free: number): Promise<void>
  /** Frees the space again. */
  free(): void
}

/**
 * `disk-full`: fills the disk under the executable. Pushes must fail with 507 and a message, uploads must continue once
 * there is space, pulls must always work, and the database must stay intact. Needs Linux and root, for a tmpfs.
 * @throws Error with the first violation
 */
export async function run(): Promise<void> {
  await using disk = await temporaryFileSystem(diskMiB)
  const data = join(disk.path, 'data')
  await fillUnder(disk.path, data)
  await using server = await startServer({ data })
  await server.registry.get(`/v2/${repository}/manifests/after`)
  throwFaults(await checkDataFolder(data, new Set()))
  console.log('restarted: nothing is missing, and the database is intact')
}

async function fillUnder(mount: string, data: string): Promise<void> {
  await using server = await startServer({ data })
  const disk = await prepare(server.registry, mount, data)
  for (const check of [fullForChunk, fullForPost, fullForRow, fullForManifests]) {
    console.log(await whilePulling(disk, () => check(disk)))
    disk.free()
  }
  await disk.registry.pushRandomImage(repository, 'after', MiB)
}

async function prepare(registry: Registry, mount: string, data: string): Promise<Disk> {
  const filler = join(mount, 'filler')
  return {
    registry,
    data,
    before: await registry.pushRandomImage(repository, 'before', MiB),
    free: () => rmSync(filler, { force: true }),
    async fill(free) {
      const { bavail, bsize } = await statfs(mount)
      const bytes = new Uint8Array(Math.max(0, bavail * bsize - free))
      const file = openSync(filler, 'w')
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at)
      closeSync(file)
    },
  }
}

/** Sends a chunk that does not fit: the upload keeps a part of it, and continues from there. */
async function fullForChunk({ registry, fill, free }: Disk): Promise<string> {
  const { bytes, digest } = randomBlob(blobBytes)
  const location = await registry.startUpload(repository)
  await fill(blobBytes / 2)
  expectClear(await registry.send('PATCH', location, { body: bytes }))
  const size = sizeOf(await registry.expect([204], 'GET', location))
  if (size === 0 || size >= blobBytes) throw new Error(`the upload has ${size} of ${blobBytes} bytes`)
  free()
  const rest = bytes.subarray(size)
  const headers = { 'content-range': `${size}-${blobBytes - 1}` }
  await registry.expect([202], 'PATCH', location, { body: rest, headers })
  await registry.closeUpload(location, digest)
  await registry.pullBlob(repository, digest)
  return `a chunk that does not fit: 507, the upload goes on from byte ${size} of ${blobBytes}`
}

/** Sends a whole blob in one request: a failure leaves nothing behind. */
async function fullForPost({ registry, data, fill }: Disk): Promise<string> {
  const { bytes, digest } = randomBlob(blobBytes)
  await fill(blobBytes / 2)
  const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
  expectClear(await registry.send('POST', path, { body: bytes }))
  throwFaults(await checkDataFolder(data, new Set()))
  return 'a blob in one request that does not fit: 507, nothing is left'
}

/** Closes an upload when there is no space for its row. */
async function fullForRow({ registry, fill, free }: Disk): Promise<string> {
  const { bytes, digest } = randomBlob(blobBytes / 2)
  const location = await registry.startUpload(repository)
  await registry.append(location, bytes)
  await fill(0)
  const refused = await fillDatabase(registry)
  expectClear(await registry.send('PUT', `${location}?digest=${digest}`))
  await registry.expect([404], 'HEAD', `/v2/${repository}/blobs/${digest}`)
  const size = sizeOf(await registry.expect([204], 'GET', location))
  if (size !== bytes.length) throw new Error(`the upload has ${size} of ${bytes.length} bytes`)
  free()
  await registry.closeUpload(location, digest)
  await registry.pullBlob(repository, digest)
  return `a row that does not fit (after ${refused} manifests): 507, the upload can be closed later`
}

/** Sends changes of the database: all are refused, and nothing changes. */
async function fullForManifests({ registry, data, before, fill }: Disk): Promise<string> {
  await fill(0)
  const stored = await fillDatabase(registry)
  expectClear(await registry.send('POST', `/v2/disk/other/blobs/uploads/?mount=${before}&from=${repository}`))
  expectClear(await registry.send('DELETE', `/v2/${repository}/manifests/before`))
  await registry.get(`/v2/${repository}/manifests/before`)
  throwFaults(checkDatabase(data))
  return `manifests that do not fit (after ${stored}), a mount, a deletion: 507, the database is whole`
}

/** Pushes manifests until the database cannot grow, and returns how many fit. */
async function fillDatabase(registry: Registry): Promise<number> {
  for (let bytes = manifestBytes, count = 0; count < manifestsMax; count++) {
    const note = Buffer.from(crypto.getRandomValues(new Uint8Array(bytes / 2))).toString('hex')
    const body = imageManifest(await anyBlob(registry), [], note)
    const answer = await registry.putManifest(repository, sha256(body), body)
    if (answer.status === 201) continue
    expectClear(answer)
    await registry.expect([404], 'GET', `/v2/${repository}/manifests/${sha256(body)}`)
    if (bytes < 512) return count
    bytes /= 4
  }
  throw new Error(`${manifestsMax} manifests were stored on a full disk`)
}

/** The config of the image that was pushed first. */
async function anyBlob(registry: Registry) {
  const manifest = await registry.get(`/v2/${repository}/manifests/before`)
  return manifest.json<{ config: Described }>().config
}

/** Runs work while the earlier image is pulled again and again. */
async function whilePulling<T>({ registry, before }: Disk, work: () => Promise<T>): Promise<T> {
  const pull = async () => {
    await registry.get(`/v2/${repository}/manifests/before`)
    await registry.pullBlob(repository, before)
  }
  return await whileRepeating(pull, work)
}

/** Expects the response of a full disk: 507 with a message. */
function expectClear({ status, text }: Answer): void {
  if (status !== 507 || !text.includes('disk is full'))
    throw new Error(`unexpected response of a full disk: ${status} ${text}`)
}
