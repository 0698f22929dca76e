import type { Digest } from '../oci/digest.ts'
import { type Json, objectsOf, parseLeniently, stringsOf } from '../oci/lenient-json.ts'
import type { BlobLinks } from './blob-links.ts'
import type { TransferTarget } from './copy.ts'
import { MANIFEST_BYTES_MAX } from './manifest-file.ts'
import { readAtMost, readObject } from './response-body.ts'
import { type Document, type ImageSource, type Listed, type Send, TransferError } from './source.ts'

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
