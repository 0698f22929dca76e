import { deepEqual, ok } from 'node:assert/strict'
import { MEDIA_TYPE } from '../../src/oci/media-type.ts'
import { type Descriptor, isDigestOf } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'

/** The Accept header of a client that accepts every kind of manifest. */
const accept = [
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.dockerList,
  MEDIA_TYPE.dockerManifest,
  '*/*',
].join(', ')

/** The repositories of a registry, by its catalog. */
export async function listRepositories(registry: string): Promise<string[]> {
  const answer = await new Registry(registry).get('/v2/_catalog')
  return answer.json<{ repositories: string[] }>().repositories
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
    return answer.status === 404 ? [] : answer.json<{ tags: string[] }>().tags
  }

  /** Returns a manifest and its digest, which must match the bytes. */
  async manifest(reference: string) {
    const path = `/v2/${this.repository}/manifests/${reference}`
    const answer = await this.#registry.get(path, { accept })
    const digest = answer.headers.get('docker-content-digest') ?? ''
    const mediaType = answer.headers.get('content-type')
    // The digest of a signed manifest is that of its signed part.
    const isSame = mediaType === MEDIA_TYPE.dockerSchema1Signed || isDigestOf(digest, answer.bytes)
    ok(isSame, `${path} has other bytes than ${digest}`)
    return { digest, bytes: answer.bytes, mediaType, json: JSON.parse(answer.text) }
  }

  /** The manifests that refer to one, of one artifact type or of all. */
  async referrers(digest: string, type?: string): Promise<Descriptor[]> {
    const filter = type === undefined ? '' : `?artifactType=${encodeURIComponent(type)}`
    const path = `/v2/${this.repository}/referrers/${digest}${filter}`
    return (await this.#registry.get(path)).json<{ manifests: Descriptor[] }>().manifests
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
