import { equal } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { locationOf, manifestMediaType, Registry } from '../lib/registry.ts'

const transferSecondsMax = 300

/** A file as a manifest names it. */
export interface FileDescriptor {
  path: string
  digest: string
  size: number
}

/** Describes a file of any size. */
export async function describeFile(path: string): Promise<FileDescriptor> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk)
  return { path, digest: `sha256:${hash.digest('hex')}`, size: (await stat(path)).size }
}

/**
 * Sends the requests of a client that cannot be built here, as its source does. Like the client, each method expects
 * exactly the status and the headers that it reads.
 */
export class Replay {
  readonly #registry: Registry
  readonly #repository: string

  constructor(registry: string, repository: string) {
    this.#registry = new Registry(registry)
    this.#repository = repository
  }

  /** oras-go, ModelPack's and KitOps' library: a blob by POST and one PUT, unless it is there. */
  async pushByPut(file: FileDescriptor): Promise<void> {
    if (await this.#exists(file)) return
    await this.#close(await this.#registry.startUpload(this.#repository), file, bytesOf(file))
  }

  /** go-containerregistry, Singularity's library: a blob by POST, one PATCH with all of it, and an empty PUT. */
  async pushByPatch(file: FileDescriptor): Promise<void> {
    if (await this.#exists(file)) return
    const location = await this.#registry.startUpload(this.#repository)
    await this.#close(await this.#registry.append(location, bytesOf(file)), file)
  }

  /** KitOps' own for large blobs: by POST, a PATCH with its Content-Range for each chunk, and an empty PUT. */
  async pushInChunks(file: FileDescriptor, chunkBytes: number): Promise<void> {
    if (await this.#exists(file)) return
    let location = await this.#registry.startUpload(this.#repository)
    for (let first = 0; first < file.size; first += chunkBytes) {
      const end = Math.min(first + chunkBytes, file.size)
      const headers = { 'content-range': `${first}-${end - 1}` }
      const body = bytesOf(file, first, end)
      const answer = await this.#registry.expect([202], 'PATCH', location, { headers, body })
      equal(answer.headers.get('range'), `0-${end - 1}`)
      location = locationOf(answer)
    }
    await this.#close(location, file)
  }

  /** Pushes a manifest by its digest, if it is not there, and then fetches it to push it again by its tag. */
  async pushManifestThenTag(bytes: Uint8Array, digest: string, tag: string): Promise<void> {
    const path = `/v2/${this.#repository}/manifests/${digest}`
    const headers = { accept: manifestMediaType }
    await this.#registry.expect([404], 'HEAD', path, { headers })
    await this.pushManifest(bytes, digest)
    const fetched = await this.#registry.get(path, headers)
    equal(fetched.headers.get('content-type'), manifestMediaType)
    equal(Number(fetched.headers.get('content-length')), bytes.length)
    await this.pushManifest(fetched.bytes, tag)
  }

  async pushManifest(body: Uint8Array, reference: string): Promise<void> {
    await this.#registry.pushManifest(this.#repository, reference, body)
  }

  /** Pulls a blob, interrupts and resumes the download, and returns the digest of the bytes. */
  async pullInTwo(file: FileDescriptor, firstBytes: number): Promise<string> {
    const hash = createHash('sha256')
    const begun = await this.#download(200, file)
    equal(begun.headers.get('accept-ranges'), 'bytes')
    equal(Number(begun.headers.get('content-length')), file.size)
    let taken = 0
    for await (const chunk of begun.body ?? []) {
      const part = chunk.subarray(0, firstBytes - taken)
      hash.update(part)
      taken += part.length
      if (taken === firstBytes) break
    }
    const rest = await this.#download(206, file, { range: `bytes=${taken}-${file.size - 1}` })
    for await (const chunk of rest.body ?? []) hash.update(chunk)
    return `sha256:${hash.digest('hex')}`
  }

  async #exists({ digest, size }: FileDescriptor): Promise<boolean> {
    const path = `/v2/${this.#repository}/blobs/${digest}`
    const answer = await this.#registry.expect([200, 404], 'HEAD', path)
    if (answer.status === 404) return false
    equal(Number(answer.headers.get('content-length')), size)
    return true
  }

  async #close(location: string, { digest }: FileDescriptor, body?: Blob): Promise<void> {
    locationOf(await this.#registry.closeUpload(location, digest, body))
  }

  /** Requests a blob that is too large for memory. */
  async #download(status: number, { digest }: FileDescriptor, headers = {}): Promise<Response> {
    const url = `http://${this.#registry.address}/v2/${this.#repository}/blobs/${digest}`
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(transferSecondsMax * 1000) })
    equal(answer.status, status)
    return answer
  }
}

/** Returns the descriptor of a file. */
export function describe({ digest, size }: FileDescriptor, mediaType: string) {
  return { mediaType, digest, size }
}

/** A part of a file as the body of a request. */
function bytesOf({ path, size }: FileDescriptor, first = 0, end = size): Blob {
  return Bun.file(path).slice(first, end, 'application/octet-stream')
}
