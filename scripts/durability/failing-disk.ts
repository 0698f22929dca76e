import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { throwFaults } from '../lib/cases.ts'
import { sha256 } from '../lib/image.ts'
import { imageManifest, type Registry, randomBlob, sizeOf } from '../lib/registry.ts'
import { type Server, startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { checkDatabase } from '../soak/data-folder.ts'
import { afflict } from './strace.ts'

const repository = 'durability/failing'
const blobBytes = 3 * 1024 * 1024

interface Patient {
  server: Server
  registry: Registry
  data: string
}

interface Blob {
  bytes: Uint8Array
  digest: string
  /** The Location of its upload, and the upload's file. */
  location: string
  file: string
  /** The path of the blob's file. */
  folder: string
}

/**
 * Makes the system calls of a push fail one after the other. Nothing is acknowledged or visible then, and the upload
 * continues from its size when the disk works again. Returns a line for each failure.
 */
export async function checkFailingDisk(): Promise<string[]> {
  await using folder = await temporaryFolder('failing')
  const data = join(folder.path, 'data')
  await mkdir(data)
  const lines: string[] = []
  {
    await using server = await startServer({ data })
    const patient = { server, registry: server.registry, data }
    const log = join(data, 'cay.db-wal')
    const everywhere = (): string[] => []
    const inFolder = ({ folder }: Blob) => [folder]
    const closes: [what: string, injection: string, paths: (blob: Blob) => string[], status: number][] = [
      ["the file's sync", 'fdatasync:error=EIO', ({ file }) => [file], 500],
      ["the folder's sync", 'fsync:error=EIO', inFolder, 500],
      ['the rename', 'rename:error=ENOSPC', everywhere, 507],
      ["the log's write", 'pwrite64:error=ENOSPC', () => [log], 507],
    ]
    const making = 'mkdir:error=ENOSPC'
    lines.push(await failClose(patient, "the folders' making", making, everywhere, 507, blobBytes))
    lines.push(await failWrite(patient))
    for (const close of closes) lines.push(await failClose(patient, ...close))
    const opening = 'open,openat:error=EMFILE'
    lines.push(await failClose(patient, "the folder's opening", opening, inFolder, 500, blobBytes))
    lines.push(await failManifest(patient))
    lines.push(await withoutHardLinks(patient))
  }
  throwFaults(checkDatabase(data))
  return lines
}

/** A chunk that cannot be written is refused. The upload keeps its earlier bytes, and continues from there. */
async function failWrite({ server, registry, data }: Patient): Promise<string> {
  const blob = await begin(registry, data)
  const half = blobBytes / 2
  await registry.append(blob.location, blob.bytes.subarray(0, half))
  {
    await using _ = await afflict(server, 'pwrite64:error=ENOSPC', [blob.file])
    await registry.expect([507], 'PATCH', blob.location, { body: blob.bytes.subarray(half) })
  }
  const size = sizeOf(await registry.expect([204], 'GET', blob.location))
  if (size !== half) throw new Error(`after a write that failed the upload has ${size} bytes, not ${half}`)
  await registry.closeUpload(blob.location, blob.digest, blob.bytes.subarray(half))
  await registry.pullBlob(repository, blob.digest)
  return 'a write of a chunk fails: 507, and the upload continues'
}

/** If the last step of an upload fails, its blob does not exist, and the upload continues from the size in its status. */
async function failClose(
  { server, registry, data }: Patient,
  what: string,
  injection: string,
  paths: (blob: Blob) => string[],
  status: number,
  sizeMin = 0,
): Promise<string> {
  const blob = await begin(registry, data)
  await registry.append(blob.location, blob.bytes)
  {
    await using _ = await afflict(server, injection, paths(blob))
    await registry.expect([status], 'PUT', `${blob.location}?digest=${blob.digest}`)
    await registry.expect([404], 'HEAD', `/v2/${repository}/blobs/${blob.digest}`)
  }
  await registry.expect([404], 'HEAD', `/v2/${repository}/blobs/${blob.digest}`)
  const size = sizeOf(await registry.expect([204], 'GET', blob.location))
  if (size < sizeMin) throw new Error(`after ${what} failed the upload has ${size} bytes, not ${sizeMin}`)
  await registry.closeUpload(blob.location, blob.digest, blob.bytes.subarray(size))
  await registry.pullBlob(repository, blob.digest)
  return `${what} of a blob fails: ${status}, not there, the upload goes on from byte ${size} of ${blobBytes}`
}

async function failManifest({ server, registry }: Patient): Promise<string> {
  const what = "the log's write"
  const { bytes, digest, size } = randomBlob(64)
  await registry.pushBlob(repository, digest, bytes)
  const manifest = imageManifest({ digest, size }, [], what)
  const path = `/v2/${repository}/manifests/${sha256(manifest)}`
  {
    await using _ = await afflict(server, 'pwrite64:error=ENOSPC')
    await registry.expect([507], 'PUT', path, { body: manifest })
    await registry.expect([404], 'GET', path)
    await registry.get(`/v2/${repository}/blobs/${digest}`)
  }
  await registry.expect([404], 'GET', path)
  await registry.pushManifest(repository, 'latest', manifest)
  return `${what} of a manifest fails: 507, not there, then pushed again`
}

async function withoutHardLinks({ server, registry, data }: Patient): Promise<string> {
  const blob = await begin(registry, data)
  await using _ = await afflict(server, 'link,linkat:error=EPERM')
  await registry.append(blob.location, blob.bytes)
  await registry.closeUpload(blob.location, blob.digest)
  await registry.pullBlob(repository, blob.digest)
  return 'the file system has no hard links: pushed all the same'
}

async function begin(registry: Registry, data: string): Promise<Blob> {
  const location = await registry.startUpload(repository)
  const [uuid = ''] = location.split('/').at(-1)?.split('~') ?? []
  const file = join(data, 'uploads', `${uuid}.sha256`)
  const { bytes, digest } = randomBlob(blobBytes)
  return { bytes, digest, location, file, folder: join(data, 'blobs/sha256', digest.slice(7, 9)) }
}
