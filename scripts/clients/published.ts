import { deepEqual, equal, ok } from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Registry } from '../lib/registry.ts'

/** The Accept header of a client that accepts every kind of manifest. */
const accept = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  '*/*',
].join(', ')

const signedType = 'application/vnd.docker.distribution.manifest.v1+prettyjws'

/** The repositories of a registry, by its catalog. */
export async function listRepositories(registry: string): Promise<string[]> {
  const answer = await new Registry(registry).expect([200], 'GET', '/v2/_catalog')
  return JSON.parse(text(answer.bytes)).repositories
}

/** Finds each tag of a repository and its manifest, and deletes it, until none is left. */
export async function deleteAll(registry: string, repository: string): Promise<void> {
  const published = new Published(registry, repository)
  for (let [tag] = await published.tags(); tag !== undefined; [tag] = await published.tags())
    await published.delete(tag)
}

/** A repository as other clients see it, by plain HTTP. */
export class Published {
  readonly #registry: Registry
  readonly repository: string

  constructor(registry: string, repository: string) {
    this.#registry = new Registry(registry)
    this.repository = repository
  }

  /** Returns its tags in the registry's order; none if the repository does not exist. */
  async tags(): Promise<string[]> {
    const path = `/v2/${this.repository}/tags/list`
    const answer = await this.#registry.expect([200, 404], 'GET', path)
    return answer.status === 404 ? [] : JSON.parse(text(answer.bytes)).tags
  }

  /** Returns a manifest and its digest, which must match the bytes. */
  async manifest(reference: string) {
    const path = `/v2/${this.repository}/manifests/${reference}`
    const { bytes, headers } = await this.#registry.expect([200], 'GET', path, { headers: { accept } })
    const digest = headers.get('docker-content-digest') ?? ''
    const mediaType = headers.get('content-type')
    // The digest of a signed manifest is that of its signed part.
    const [algorithm = ''] = digest.split(':')
    const found = createHash(algorithm).update(bytes).digest('hex')
    if (mediaType !== signedType) equal(digest, `${algorithm}:${found}`)
    return { digest, bytes, mediaType, json: JSON.parse(text(bytes)) }
  }

  /** The manifests that refer to one, of one artifact type or of all. */
  async referrers(digest: string, type?: string): Promise<{ digest: string; artifactType?: string }[]> {
    const filter = type === undefined ? '' : `?artifactType=${encodeURIComponent(type)}`
    const path = `/v2/${this.repository}/referrers/${digest}${filter}`
    return JSON.parse(text((await this.#registry.expect([200], 'GET', path)).bytes)).manifests
  }

  /** A blob, or its bytes from `first` to `last`. */
  async blob(digest: string, first?: number, last?: number): Promise<Uint8Array> {
    const headers: Record<string, string> = first === undefined ? {} : { range: `bytes=${first}-${last}` }
    const status = first === undefined ? 200 : 206
    return (
      await this.#registry.expect([status], 'GET', `/v2/${this.repository}/blobs/${digest}`, { headers })
    ).bytes
  }

  /** Fails unless the catalog has the repository, and exactly these tags are in it. */
  async expectTags(...tags: string[]): Promise<void> {
    const repositories = await listRepositories(this.#registry.address)
    ok(repositories.includes(this.repository), `the catalog has no ${this.repository}`)
    deepEqual(await this.tags(), tags)
  }

  /** Deletes a manifest with its tags, for clients that cannot, and returns its digest. */
  async delete(reference: string): Promise<string> {
    const { digest } = await this.manifest(reference)
    await this.#registry.expect([202], 'DELETE', `/v2/${this.repository}/manifests/${digest}`)
    await this.expectGone(reference, digest)
    return digest
  }

  /** Fails if one of these tags or digests still exists. */
  async expectGone(...references: string[]): Promise<void> {
    for (const reference of references)
      await this.#registry.expect([404], 'GET', `/v2/${this.repository}/manifests/${reference}`)
    const tags = await this.tags()
    for (const reference of references) ok(!tags.includes(reference), `${reference} is listed`)
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}
