import { link, lstat, rm } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { parseChallenges } from '../access/access.ts'
import { type Json, objectsOf, parseLeniently, stringsOf } from '../oci/image-config.ts'
import { algorithmOf, type Digest } from '../oci/reference.ts'
import { SMALL_BYTES_MAX } from '../storage/blob-store.ts'
import { UploadFiles, UploadIds } from '../storage/upload-files.ts'
import {
  type Document,
  type ImageSource,
  type Listed,
  MANIFEST_BYTES_MAX,
  type Send,
  TransferError,
  type TransferTarget,
} from './copy.ts'

/** Every type of manifest, so that a registry converts nothing. */
const ACCEPT = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.artifact.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v1+prettyjws',
  'application/vnd.docker.distribution.manifest.v1+json',
  '*/*;q=0.1',
].join(', ')

/** The longest error whose message is read, in bytes. */
const ERROR_BYTES_MAX = 64 * 1024
const PAGE = 500
/** The maximum pages of a list, so that a registry cannot send pages forever. */
const PAGES_MAX = 100_000
/** The maximum referrers of one manifest. They are held in memory. */
const REFERRERS_MAX = 100_000

/** A client of one registry (distribution-spec v1.1), to copy from and to. */
export class RegistryClient implements ImageSource, TransferTarget {
  private readonly send: Send
  /** The repositories to list; all of the catalog by default. */
  private readonly repositories: ((name: string) => boolean) | readonly string[]

  private readonly links: BlobLinks | undefined

  /** @param links pushes files as links, if the registry is the one of a data folder of this host */
  constructor(
    send: Send,
    repositories: ((name: string) => boolean) | readonly string[] = () => true,
    links?: BlobLinks,
  ) {
    this.send = send
    this.repositories = repositories
    this.links = links
  }

  async *list(): AsyncIterable<Listed> {
    for await (const repository of this.names()) {
      for await (const reference of this.texts(`/v2/${repository}/tags/list?n=${PAGE}`, 'tags')) {
        yield { repository, reference }
      }
    }
  }

  async manifest(repository: string, reference: string): Promise<Document | undefined> {
    const response = await this.send(`/v2/${repository}/manifests/${reference}`, {
      headers: { accept: ACCEPT },
    })
    if (response.status === 404) return undefined
    await expectStatus(response, 200)
    const size = Number(response.headers.get('content-length') ?? 0)
    if (size > MANIFEST_BYTES_MAX)
      throw new TransferError(`the manifest ${reference} has ${size} bytes, too many`)
    const mediaType = response.headers.get('content-type') ?? ''
    return { bytes: await readAtMost(response, MANIFEST_BYTES_MAX), mediaType }
  }

  async blob(repository: string, digest: string): Promise<ReadableStream<Uint8Array> | undefined> {
    const response = await this.send(`/v2/${repository}/blobs/${digest}`)
    if (response.status === 404) return undefined
    await expectStatus(response, 200)
    return response.body ?? new Blob().stream()
  }

  /** Lists referrers with the referrers API, or with the referrers tag (distribution-spec, "Listing Referrers"). */
  async referrers(repository: string, digest: string): Promise<string[]> {
    const path = `/v2/${repository}/referrers/${digest}`
    const first = await this.send(path)
    if (!first.ok) {
      const index = await this.manifest(repository, digest.replace(':', '-'))
      return index === undefined ? [] : digestsOfIndex(parseLeniently(index.bytes))
    }
    const digests: string[] = []
    for await (const page of this.pages(path, first)) {
      digests.push(...digestsOfIndex(page))
      if (digests.length > REFERRERS_MAX) {
        throw new TransferError(`${digest} has more than ${REFERRERS_MAX.toLocaleString('en')} referrers`)
      }
    }
    return digests
  }

  /** Returns the digest that a tag or a digest has, or undefined if there is none. */
  async digestOf(repository: string, reference: string): Promise<string | undefined> {
    const init = { method: 'HEAD', headers: { accept: ACCEPT } }
    const response = await this.send(`/v2/${repository}/manifests/${reference}`, init)
    if (response.status === 404) return undefined
    await expectStatus(response, 200)
    return response.headers.get('docker-content-digest') ?? undefined
  }

  async hasBlob(repository: string, digest: string): Promise<boolean> {
    const { status } = await this.send(`/v2/${repository}/blobs/${digest}`, { method: 'HEAD' })
    return status === 200
  }

  async mountBlob(repository: string, digest: string): Promise<boolean> {
    const path = `/v2/${repository}/blobs/uploads/`
    const response = await this.send(`${path}?mount=${digest}`, { method: 'POST' })
    const location = response.headers.get('location')
    // The registry started an upload instead of mounting. Nothing will use it, so cancel it.
    if (response.status === 202 && location !== null) {
      const { pathname, search } = new URL(location, 'http://localhost')
      await this.send(`${pathname}${search}`, { method: 'DELETE' })
    }
    return response.status === 201
  }

  async linkBlob(repository: string, digest: Digest, file: string): Promise<boolean> {
    return (await this.links?.push(repository, digest, file)) ?? false
  }

  /** Pushes a blob; the registry verifies its digest. */
  async pushBlob(repository: string, digest: string, body: ReadableStream<Uint8Array>): Promise<void> {
    const started = await this.send(`/v2/${repository}/blobs/uploads/`, { method: 'POST' })
    await expectStatus(started, 202)
    const location = new URL(started.headers.get('location') ?? '', 'http://localhost')
    location.searchParams.set('digest', digest)
    const headers = { 'content-type': 'application/octet-stream' }
    const put = await this.send(`${location.pathname}${location.search}`, { method: 'PUT', headers, body })
    await expectStatus(put, 201)
  }

  async putManifest(repository: string, reference: string, { bytes, mediaType }: Document): Promise<void> {
    const init = { method: 'PUT', headers: { 'content-type': mediaType }, body: bytes }
    await expectStatus(await this.send(`/v2/${repository}/manifests/${reference}`, init), 201)
  }

  private async *names(): AsyncIterable<string> {
    const { repositories } = this
    if (typeof repositories !== 'function') return yield* repositories
    for await (const name of this.texts(`/v2/_catalog?n=${PAGE}`, 'repositories')) {
      if (repositories(name)) yield name
    }
  }

  /** Yields the items of a list, page by page. */
  private async *texts(path: string, field: string): AsyncIterable<string> {
    const first = await this.send(path)
    if (first.status === 404) return
    for await (const page of this.pages(path, first)) {
      const list = page[field] ?? []
      if (!Array.isArray(list)) throw new TransferError(`${path} does not send a list of ${field}`)
      yield* list.filter((one) => typeof one === 'string')
    }
  }

  /** Yields the pages of a list, of which `response` is the first (distribution-spec, "Listing Tags"). */
  private async *pages(first: string, response: Response): AsyncIterable<Json> {
    let [path, page] = [first, response]
    for (let count = 0; count < PAGES_MAX; count++) {
      await expectStatus(page, 200)
      yield await readObject(page, MANIFEST_BYTES_MAX)
      const next = nextPage(page)
      if (next === undefined) return
      if (next === path) throw new TransferError(`${page.url} names itself as its next page`)
      path = next
      page = await this.send(path)
    }
    throw new TransferError(`the list ${first} has more than ${PAGES_MAX} pages`)
  }
}

/** Reads the `Link` header of a page. */
function nextPage(response: Response): string | undefined {
  const next = /<([^>]+)>\s*;\s*rel="?next"?/i.exec(response.headers.get('link') ?? '')?.[1]
  if (next === undefined) return undefined
  const url = new URL(next, 'http://localhost')
  // Two slashes would begin the name of a host.
  return `${url.pathname.replace(/^\/+/, '/')}${url.search}`
}

/** Returns the digests that an index names, and ignores entries without one. */
function digestsOfIndex({ manifests }: Json): string[] {
  return objectsOf(manifests).flatMap(({ digest }) => stringsOf([digest]))
}

async function expectStatus(response: Response, status: number): Promise<void> {
  if (response.status === status) return
  const bytes = await readAtMost(response, ERROR_BYTES_MAX).catch(() => new Uint8Array())
  const message = messageIn(new TextDecoder().decode(bytes))
  throw new TransferError(message ?? `the registry answered ${response.status}`)
}

function messageIn(text: string): string | undefined {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: string; message?: string }[] }
    const [first] = errors ?? []
    return first && [first.code, first.message].filter(Boolean).join(': ')
  } catch {
    return undefined
  }
}

/** A registry to copy from. */
export interface RemoteRegistry {
  /** `https://registry.example:5000` */
  url: URL
  username?: string | undefined
  password?: string | undefined
  /** PEM text of authorities to trust instead of the system's. */
  authorities?: string | undefined
}

/** How long a request can take until its response begins. */
const RESPONSE_MS_MAX = 60_000
/** How many repositories have their tokens cached. */
const TOKENS_MAX = 100
const TOKEN_BYTES_MAX = 256 * 1024
/** How often a request that the registry temporarily refuses is retried, and the longest wait. */
const TRIES_MAX = 5
const WAIT_SECONDS_MAX = 60

/** Returns a function that sends requests to a registry, with the token or the password that it asks for. */
export function openRemoteRegistry({ url, username, password, authorities }: RemoteRegistry): Send {
  const tokens = new LRUCache<string, string>({ max: TOKENS_MAX })
  const tls = authorities === undefined ? {} : { tls: { ca: authorities } }
  const basic = username === undefined ? undefined : basicOf(username, password ?? '')
  let header = basic
  const request = async (target: URL, init: RequestInit, authorization: string | undefined) => {
    const headers = new Headers(init.headers)
    if (authorization !== undefined) headers.set('authorization', authorization)
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), RESPONSE_MS_MAX)
    try {
      return await fetch(target, { ...init, ...tls, headers, signal: deadline.signal })
    } catch (cause) {
      throw new TransferError(`${url.origin} does not answer: ${(cause as Error).message}`, { cause })
    } finally {
      clearTimeout(timer)
    }
  }
  const tokenFor = async (challenge: Readonly<Record<string, string>>): Promise<string> => {
    const { realm = '', service, scope } = challenge
    const target = parseRealm(realm, url)
    if (service !== undefined) target.searchParams.set('service', service)
    if (scope !== undefined) target.searchParams.set('scope', scope)
    const response = await request(target, {}, basic)
    if (!response.ok) throw new TransferError(`${target.origin} refused to give a token: ${response.status}`)
    const { token, access_token } = await readObject(response, TOKEN_BYTES_MAX)
    return `Bearer ${token ?? access_token ?? ''}`
  }
  const authorized = async (target: URL, init: RequestInit): Promise<Response> => {
    const repository = /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\//.exec(target.pathname)?.[1] ?? ''
    const response = await request(target, init, tokens.get(repository) ?? header)
    if (response.status !== 401) return response
    const challenges = parseChallenges(response.headers.get('www-authenticate') ?? '')
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer === undefined) {
      if (basic === undefined || header === basic) throw refused(url)
      header = basic
      return await request(target, init, basic)
    }
    tokens.set(repository, await tokenFor(bearer.parameters))
    const again = await request(target, init, tokens.get(repository))
    if (again.status === 401) throw refused(url)
    return again
  }
  return async (path, init = {}) => {
    const target = new URL(path, url)
    for (let tries = 1; ; tries++) {
      const response = await authorized(target, init)
      if ((response.status !== 429 && response.status !== 503) || tries === TRIES_MAX) return response
      const seconds = Number(response.headers.get('retry-after') ?? 2 ** tries)
      await Bun.sleep(Math.min(Number.isFinite(seconds) ? seconds : 2 ** tries, WAIT_SECONDS_MAX) * 1000)
    }
  }
}

function basicOf(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/**
 * Parses the URL where a registry issues tokens. It must be https, unless the registry itself uses http, because the
 * password is sent there.
 */
function parseRealm(realm: string, url: URL): URL {
  const target = URL.parse(realm, url.href)
  if (target?.protocol === 'https:' || (target?.protocol === 'http:' && url.protocol === 'http:'))
    return target
  throw new TransferError(
    `${url.origin} asks for a token from "${realm.slice(0, 200)}": expected an https:// URL`,
  )
}

function refused({ origin }: URL): TransferError {
  return new TransferError(`${origin} refuses the credentials: pass --username and --password-file`)
}

/** How long a body of bounded size can take. */
const BODY_MS_MAX = 120_000

/**
 * Reads a body to its end.
 * @throws TransferError when it is longer than `bytesMax`, or takes too long
 */
export async function readAtMost(
  response: Response,
  bytesMax: number,
  millisecondsMax = BODY_MS_MAX,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = []
  const reader = response.body?.getReader()
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    reader?.cancel().catch(() => {})
  }, millisecondsMax)
  try {
    for (let bytes = 0; ; ) {
      const { done = true, value } = (await reader?.read()) ?? {}
      if (isLate) throw new TransferError(`${response.url} sends too slowly`)
      if (done || value === undefined) return new Uint8Array(Buffer.concat(chunks))
      bytes += value.length
      if (bytes > bytesMax) throw new TransferError(`${response.url} sends more than ${bytesMax} bytes`)
      chunks.push(value)
    }
  } finally {
    clearTimeout(timer)
    reader?.cancel().catch(() => {})
  }
}

/**
 * Parses a body as a JSON object.
 * @throws TransferError when it is something else, or longer than `bytesMax`
 */
async function readObject(response: Response, bytesMax: number): Promise<Record<string, unknown>> {
  const text = new TextDecoder().decode(await readAtMost(response, bytesMax))
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Refused below, like other text.
  }
  throw new TransferError(`${response.url} does not send a JSON object`)
}

/**
 * Pushes files of this host to the registry of a data folder as hard links, so that they take no space twice. A link becomes
 * the file of an upload, and the registry hashes it as it hashes every upload. It never changes a file with two names, so
 * the source stays as it is.
 */
export class BlobLinks {
  private readonly files: UploadFiles
  private readonly ids: UploadIds
  private readonly send: Send

  /**
   * @param data the data folder, which this user can write to
   * @param send sends requests to the registry of that folder
   */
  constructor(data: string, send: Send) {
    this.files = new UploadFiles(data)
    this.ids = new UploadIds(this.files.readKey())
    this.send = send
  }

  /**
   * Pushes a file as a link. Returns false if it must be copied: it is small, on another volume, not an ordinary file, or the
   * kernel or the registry refuses the link.
   */
  async push(repository: string, digest: Digest, file: string): Promise<boolean> {
    const found = await lstat(file).catch(() => undefined)
    if (!found?.isFile() || found.size <= SMALL_BYTES_MAX) return false
    const upload = this.ids.make(repository, algorithmOf(digest))
    const { path } = this.files.ofUpload(upload)
    try {
      await link(file, path)
    } catch {
      // Another volume, fs.protected_hardlinks, or a file system without links.
      return false
    }
    let isStored = false
    try {
      // Nobody else can replace the link: it is in a private folder.
      const linked = await lstat(path)
      if (!linked.isFile() || linked.size !== found.size) return false
      const put = `/v2/${repository}/blobs/uploads/${upload.id}?digest=${digest}`
      isStored = (await this.send(put, { method: 'PUT' })).status === 201
      return isStored
    } finally {
      if (!isStored) await rm(path, { force: true })
    }
  }
}
