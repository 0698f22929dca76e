import { type Content, isDigestOf, mediaTypes, sha256 } from './image.ts'

const requestSecondsMax = 300

/** A registry's response, which was read to its end. */
export class Answer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array

  constructor({ status, headers }: Response, bytes: Uint8Array) {
    this.status = status
    this.headers = headers
    this.bytes = bytes
  }

  get text(): string {
    return new TextDecoder().decode(this.bytes)
  }

  json<T>(): T {
    return JSON.parse(this.text)
  }
}

export interface Sent {
  headers?: Record<string, string>
  /** A stream is sent without a length. */
  body?: Uint8Array | Blob | string | ReadableStream<Uint8Array>
  /** An object to be sent as JSON instead. */
  json?: object | undefined
}

/** A response with an unexpected status. */
class UnexpectedAnswer extends Error {
  override name = 'UnexpectedAnswer'
}

/** A minimal client of a registry, without retries. It trusts every certificate. */
export class Registry {
  /** `host:port` */
  readonly address: string
  readonly #origin: string
  readonly #headers: Record<string, string>

  /**
   * @param address `host:port`, or `name:password@host:port` to sign in by Basic; behind `https://` for TLS
   * @param headers are sent with each request
   */
  constructor(address: string, headers: Record<string, string> = {}) {
    const [, scheme = 'http://', credentials, host = ''] =
      /^(https?:\/\/)?(?:(.+)@)?([^@]*)$/.exec(address) ?? []
    this.address = host
    this.#origin = scheme + host
    this.#headers = { ...(credentials && { authorization: `Basic ${btoa(credentials)}` }), ...headers }
  }

  /** Sends a request to a path or to a Location, and reads the whole response. */
  async send(method: string, path: string, { headers, json, body }: Sent = {}): Promise<Answer> {
    const response = await fetch(new URL(path, this.#origin), {
      method,
      headers: { ...this.#headers, ...(json && { 'content-type': 'application/json' }), ...headers },
      ...(json ? { body: JSON.stringify(json) } : body !== undefined && { body }),
      signal: AbortSignal.timeout(requestSecondsMax * 1000),
      decompress: false,
      tls: { rejectUnauthorized: false },
    })
    return new Answer(response, await response.bytes())
  }

  /** Does the same, and expects one of these statuses. */
  async expect(statuses: number[], method: string, path: string, sent: Sent = {}): Promise<Answer> {
    const answer = await this.send(method, path, sent)
    if (statuses.includes(answer.status)) return answer
    const text = answer.text.slice(0, 1000)
    throw new UnexpectedAnswer(`${method} ${path}: ${answer.status}, not ${statuses.join(' or ')}: ${text}`)
  }

  /** Gets a path, which must succeed. */
  async get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return await this.expect([200], 'GET', path, { headers })
  }

  /** Sends a request of the admin API to a path below /api/v1, which must succeed, and returns its JSON. */
  async api<T = unknown>(method: string, path: string, json?: object): Promise<T> {
    const answer = await this.send(method, `/api/v1${path}`, { json })
    if (answer.status >= 300)
      throw new UnexpectedAnswer(`${method} ${path}: ${answer.status}: ${answer.text.slice(0, 1000)}`)
    return (answer.bytes.length === 0 ? undefined : answer.json()) as T
  }

  /** Runs a job to its end, and returns its id. */
  async runJob(kind: string): Promise<string> {
    const { id } = await this.api<{ id: string }>('POST', '/jobs', { kind })
    // The stream of events ends with the job.
    await this.get(`/api/v1/jobs/${id}/events`)
    return id
  }

  /** Starts an upload, and returns its Location. */
  async startUpload(repository: string): Promise<string> {
    return locationOf(await this.expect([202], 'POST', `/v2/${repository}/blobs/uploads/`))
  }

  /** Appends to an upload, and returns the Location where it continues. */
  async append(location: string, body: NonNullable<Sent['body']>): Promise<string> {
    return locationOf(await this.expect([202], 'PATCH', location, { body }))
  }

  /** Closes an upload, with its last bytes if there are some. */
  async closeUpload(location: string, digest: string, body?: Sent['body']): Promise<Answer> {
    const path = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
    return await this.expect([201], 'PUT', path, body === undefined ? {} : { body })
  }

  /** Pushes a blob by POST and PUT. */
  async pushBlob(repository: string, digest: string, bytes: Uint8Array): Promise<void> {
    await this.closeUpload(await this.startUpload(repository), digest, bytes)
  }

  /** Pushes a blob in one request, which not every registry supports. */
  async postBlob(repository: string, bytes: Uint8Array, digest = sha256(bytes)): Promise<void> {
    await this.expect([201], 'POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes })
  }

  /** Sends a manifest, by default an OCI image manifest, under a tag or a digest. Any status is returned. */
  async putManifest(
    repository: string,
    reference: string,
    body: Uint8Array | string,
    mediaType: string = manifestMediaType,
  ): Promise<Answer> {
    const headers = { 'content-type': mediaType }
    return await this.send('PUT', `/v2/${repository}/manifests/${reference}`, { headers, body })
  }

  /** Does the same, and expects it to be stored. */
  async pushManifest(...manifest: Parameters<Registry['putManifest']>): Promise<Answer> {
    const answer = await this.putManifest(...manifest)
    if (answer.status === 201) return answer
    const [repository, reference] = manifest
    throw new UnexpectedAnswer(`${repository}:${reference} is refused: ${answer.status} ${answer.text}`)
  }

  /** Pushes an image whose config and only layer are one blob of random bytes, and returns the blob's digest. */
  async pushRandomImage(repository: string, tag: string, size: number): Promise<string> {
    const { bytes, ...blob } = randomBlob(size)
    await this.pushBlob(repository, blob.digest, bytes)
    await this.pushManifest(repository, tag, imageManifest(blob, [blob], tag))
    return blob.digest
  }

  /** Pulls a blob. Throws an Error if its bytes do not match the digest. */
  async pullBlob(repository: string, digest: string): Promise<void> {
    const { bytes } = await this.get(`/v2/${repository}/blobs/${digest}`)
    if (!isDigestOf(digest, bytes)) throw new UnexpectedAnswer(`${digest} is served with other bytes`)
  }

  /** Pushes content under a tag: the blobs, and then the manifests, children first. */
  async pushContent(repository: string, tag: string, content: Content): Promise<void> {
    const manifests = manifestsOf(content)
    for (const [digest, bytes] of content.blobs)
      if (!manifests.has(digest)) await this.pushBlob(repository, digest, bytes)
    for (const [digest, mediaType] of manifests) {
      const reference = digest === content.descriptor.digest ? tag : digest
      await this.pushManifest(repository, reference, content.blobs.get(digest) ?? new Uint8Array(), mediaType)
    }
  }

  /** Pulls content by its tag. Throws an Error if a byte differs. */
  async pullContent(repository: string, tag: string, content: Content): Promise<void> {
    const manifests = manifestsOf(content)
    for (const digest of content.blobs.keys()) {
      if (!manifests.has(digest)) await this.pullBlob(repository, digest)
      const references = digest === content.descriptor.digest ? [tag, digest] : [digest]
      for (const reference of manifests.has(digest) ? references : []) {
        const { bytes } = await this.get(`/v2/${repository}/manifests/${reference}`, { accept: '*/*' })
        if (!isDigestOf(digest, bytes))
          throw new UnexpectedAnswer(`${repository}:${reference} has other bytes`)
      }
    }
  }
}

/** Returns the media type of each manifest of the content by digest, children first. */
function manifestsOf({ descriptor, blobs }: Content): Map<string, string> {
  const { manifests = [] } = JSON.parse(new TextDecoder().decode(blobs.get(descriptor.digest)))
  const children: Content['descriptor'][] = manifests
  const below = children.flatMap((child) => [...manifestsOf({ descriptor: child, blobs })])
  return new Map([...below, [descriptor.digest, descriptor.mediaType]])
}

/** Returns the Location where an upload continues. */
export function locationOf({ headers }: Answer): string {
  const location = headers.get('location')
  if (location === null) throw new UnexpectedAnswer('the answer has no Location')
  return location
}

/** Returns the size of an upload, from a response to its status or to a chunk. */
export function sizeOf({ headers }: Answer): number {
  const [, last = ''] = /^0-(-?\d+)$/.exec(headers.get('range') ?? '') ?? []
  if (last === '') throw new UnexpectedAnswer(`the upload's Range is ${headers.get('range')}`)
  return last === '0' ? 0 : Number(last) + 1
}

export const manifestMediaType = mediaTypes.manifest

/** Returns an OCI image manifest of blobs that were pushed earlier. */
export function imageManifest(config: Described, layers: Described[], note: string): Uint8Array {
  const describe = (kind: string, { digest, size }: Described) => ({
    mediaType: `application/vnd.oci.image.${kind}`,
    digest,
    size,
  })
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestMediaType,
    config: describe('config.v1+json', config),
    layers: layers.map((layer) => describe('layer.v1.tar', layer)),
    annotations: { note },
  }
  return new TextEncoder().encode(JSON.stringify(manifest))
}

export interface Described {
  digest: string
  size: number
}

/** A blob of random bytes. */
export function randomBlob(size: number): Described & { bytes: Uint8Array } {
  const bytes = crypto.getRandomValues(new Uint8Array(size))
  return { bytes, digest: sha256(bytes), size }
}
