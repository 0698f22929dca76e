import { equal } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'

const manifestType = 'application/vnd.oci.image.manifest.v1+json'
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
  readonly #base: string

  constructor(registry: string, repository: string) {
    this.#base = `http://${registry}/v2/${repository}`
  }

  /** oras-go, ModelPack's and KitOps' library: a blob by POST and one PUT, unless it is there. */
  async pushByPut(file: FileDescriptor): Promise<void> {
    if (await this.#exists(file)) return
    await this.#put(await this.#start(), file, Bun.file(file.path))
  }

  /** go-containerregistry, Singularity's library: a blob by POST, one PATCH with all of it, and an empty PUT. */
  async pushByPatch(file: FileDescriptor): Promise<void> {
    if (await this.#exists(file)) return
    const patched = await this.#send(202, 'PATCH', await this.#start(), { body: Bun.file(file.path) })
    await this.#put(locationOf(patched), file)
  }

  /** KitOps' own for large blobs: by POST, a PATCH with its Content-Range for each chunk, and an empty PUT. */
  async pushInChunks(file: FileDescriptor, chunkBytes: number): Promise<void> {
    if (await this.#exists(file)) return
    let location = await this.#start()
    for (let first = 0; first < file.size; first += chunkBytes) {
      const end = Math.min(first + chunkBytes, file.size)
      const headers = { 'content-range': `${first}-${end - 1}` }
      const body = Bun.file(file.path).slice(first, end)
      const answer = await this.#send(202, 'PATCH', location, { headers, body })
      equal(answer.headers.get('range'), `0-${end - 1}`)
      location = locationOf(answer)
    }
    await this.#put(location, file)
  }

  /** Pushes a manifest by its digest, if it is not there, and then fetches it to push it again by its tag. */
  async pushManifestThenTag(bytes: Uint8Array, digest: string, tag: string): Promise<void> {
    const path = `${this.#base}/manifests/${digest}`
    await this.#send(404, 'HEAD', path, { headers: { accept: manifestType } })
    await this.pushManifest(bytes, digest)
    const fetched = await this.#send(200, 'GET', path, { headers: { accept: manifestType } })
    equal(fetched.headers.get('content-type'), manifestType)
    equal(Number(fetched.headers.get('content-length')), bytes.length)
    await this.pushManifest(await fetched.bytes(), tag)
  }

  async pushManifest(body: Uint8Array, reference: string): Promise<void> {
    const headers = { 'content-type': manifestType }
    await this.#send(201, 'PUT', `${this.#base}/manifests/${reference}`, { headers, body })
  }

  /** Pulls a blob, interrupts and resumes the download, and returns the digest of the bytes. */
  async pullInTwo(file: FileDescriptor, firstBytes: number): Promise<string> {
    const hash = createHash('sha256')
    const path = `${this.#base}/blobs/${file.digest}`
    const begun = await this.#send(200, 'GET', path)
    equal(begun.headers.get('accept-ranges'), 'bytes')
    equal(Number(begun.headers.get('content-length')), file.size)
    let taken = 0
    for await (const chunk of begun.body ?? []) {
      const part = chunk.subarray(0, firstBytes - taken)
      hash.update(part)
      taken += part.length
      if (taken === firstBytes) break
    }
    const headers = { range: `bytes=${taken}-${file.size - 1}` }
    const rest = await this.#send(206, 'GET', path, { headers })
    for await (const chunk of rest.body ?? []) hash.update(chunk)
    return `sha256:${hash.digest('hex')}`
  }

  async #exists({ digest, size }: FileDescriptor): Promise<boolean> {
    const answer = await fetch(`${this.#base}/blobs/${digest}`, { method: 'HEAD' })
    if (answer.status === 404) return false
    equal(answer.status, 200)
    equal(Number(answer.headers.get('content-length')), size)
    return true
  }

  async #start(): Promise<string> {
    return locationOf(await this.#send(202, 'POST', `${this.#base}/blobs/uploads/`))
  }

  async #put(location: string, { digest }: FileDescriptor, body?: Blob): Promise<void> {
    const url = new URL(location)
    url.searchParams.set('digest', digest)
    locationOf(await this.#send(201, 'PUT', url.href, body === undefined ? {} : { body }))
  }

  async #send(
    status: number,
    method: string,
    url: string,
    { headers, body }: RequestInit = {},
  ): Promise<Response> {
    const type = body instanceof Blob ? { 'content-type': 'application/octet-stream' } : {}
    const init = {
      method,
      headers: { ...type, ...headers },
      signal: AbortSignal.timeout(transferSecondsMax * 1000),
    }
    const answer = await fetch(url, body ? { ...init, body } : init)
    if (answer.status !== status)
      throw new Error(`${method} ${url}: ${answer.status}, not ${status}: ${await answer.text()}`)
    return answer
  }
}

/** Returns the Location of a response, relative to the request. */
function locationOf({ headers, url }: Response): string {
  const location = headers.get('location')
  if (location === null) throw new Error(`the response of ${url} has no Location`)
  return new URL(location, url).href
}
