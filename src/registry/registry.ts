import type { Caller, Condition, Identity } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { type RegistryError, registryError } from '../oci/error.ts'
import {
  type Digest,
  type DigestAlgorithm,
  formatReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { OpenBlob, UploadBody } from '../storage/blob-store.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    registry: Registry
    /** The upstreams to cache from. */
    upstreams: Upstreams
  }
}

/** Throws REQUEST_INVALID for a repository of an upstream. `what` is the reason in the message. */
export type RequireLocal = (repository: RepositoryName, what: string) => void

/** What /v2 needs from a registry. A pull-only registry has no uploads. */
export interface Registry {
  manifests: Manifests
  blobs: Blobs
  uploads?: Uploads
  tags: Tags
  referrers: Referrers
  repositories: Repositories
  usage: UsageCounter
}

/** Counts pulls and pushes in memory. The counts are written later. */
export interface UsageCounter {
  /** Counts a manifest that was sent. */
  pulled(pull: Pull): void
  /**
   * Records that an account requested a manifest with HEAD, which counts as a use but not as a pull. If the request
   * was by tag, the account's next GET by digest counts as a pull of the tag.
   */
  resolved(pull: Pull): void
  /** Counts a manifest that was stored. */
  pushed(repository: RepositoryName): void
}

/** A manifest that a client requested. */
export interface Pull {
  repository: RepositoryName
  /** Undefined for a request by digest. */
  tag: Tag | undefined
  /** The digest of what was sent. */
  digest: Digest | undefined
  /** Undefined for anonymous. */
  account: string | undefined
}

/** Waits before a large manifest of so many bytes is read. Rejects if it must not be read. */
export type BeforeLarge = (bytes: number) => Promise<void>

export interface Manifests {
  /**
   * Returns a manifest. If the caller may push, it is protected from garbage collection for a grace period, because a
   * push may rely on it. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN.
   */
  get(
    repository: RepositoryName,
    reference: Reference,
    principal?: Identity,
    beforeLarge?: BeforeLarge,
  ): Promise<StoredManifest>
  /** Stores the bytes unchanged and points the tags at them (end-7). Durable when it resolves. */
  put(caller: Caller, push: ManifestPush): Promise<PushedManifest>
  /** Deletes a manifest with all its tags, or one tag (end-9). */
  delete(
    caller: Caller,
    repository: RepositoryName,
    reference: Reference,
    precondition?: Condition,
  ): Promise<void>
}

export interface StoredManifest {
  /** The digest that was requested, or that its tag was pushed with. */
  digest: Digest
  mediaType: string
  bytes: Uint8Array
  /** When the tag expires, in milliseconds since 1970. */
  expiresAt?: number | undefined
  /** A warning for the client: that the manifest may be out of date. */
  warning?: string | undefined
}

export interface ManifestPush {
  repository: RepositoryName
  reference: Reference
  /** Additional tags for a push by digest. */
  tags: Tag[]
  /** The request's Content-Type, without parameters. */
  contentType: string | undefined
  /** Ownership is transferred: the buffer is empty after the push. */
  bytes: Uint8Array<ArrayBuffer>
  /** The condition on the digest of each tag. */
  precondition?: Condition | undefined
}

export interface PushedManifest {
  digest: Digest
  /** Bytes. */
  size: number
  subject: Digest | undefined
}

export interface Blobs {
  /**
   * Returns the size in bytes, for HEAD. If the caller may push, the blob is protected from garbage collection for a
   * grace period, because a push may rely on it. Throws NAME_UNKNOWN or BLOB_UNKNOWN.
   */
  getSize(repository: RepositoryName, digest: Digest, principal?: Identity): Promise<number>
  /** Opens a blob to read its bytes, for GET. Throws NAME_UNKNOWN or BLOB_UNKNOWN. */
  open(repository: RepositoryName, digest: Digest): Promise<OpenBlob>
  /**
   * Links a blob from another repository: `from`, or any that the identity may pull from (end-11). Returns false when
   * there is none.
   */
  mount(caller: Caller, identity: Identity, mount: BlobMount): Promise<boolean>
  /** Deletes a blob from the repository (end-10). */
  delete(caller: Caller, repository: RepositoryName, digest: Digest): Promise<void>
}

export interface BlobMount {
  repository: RepositoryName
  digest: Digest
  from: RepositoryName | undefined
}

export interface Uploads {
  /** Starts an upload (end-4a). It survives a restart once this resolves. */
  start(repository: RepositoryName, algorithm: DigestAlgorithm): Promise<UploadState>
  /** Returns the state of an upload. Throws BLOB_UPLOAD_UNKNOWN. */
  get(repository: RepositoryName, id: string): Promise<UploadState>
  /** Appends a chunk (end-5). Throws OffsetError when it does not begin where the upload ends. */
  append(repository: RepositoryName, id: string, body: UploadBody): Promise<UploadState>
  /** Appends the last chunk, if any, and turns the upload into a blob of the repository (end-6). Returns its size. */
  commit(
    caller: Caller,
    repository: RepositoryName,
    id: string,
    digest: Digest,
    body: UploadBody,
  ): Promise<number>
  /** Uploads a whole blob in one request (end-4b). Returns its size. */
  put(caller: Caller, repository: RepositoryName, digest: Digest, body: UploadBody): Promise<number>
  /** Cancels the upload (end-14). */
  cancel(repository: RepositoryName, id: string): Promise<void>
}

export interface UploadState {
  id: string
  /** Bytes. */
  size: number
}

/** Counts the bytes of uploads in progress, so that they can be limited. Uploads are named by their UUIDs. */
export interface UploadLimits {
  /** Reserves room for a body. Throws DENIED. */
  reserve(repository: RepositoryName, upload: string, body: UploadBody): void
  /** Records how many bytes an upload has between two requests. */
  settle(upload: string, bytes: number): void
  /** Stops counting an upload that has ended. */
  release(upload: string): void
  /** Explains the error of a limit. */
  explain(error: unknown): Promise<unknown>
}

export interface Tags {
  /** Lists at most `limit` tags after `last`, in byte order. Throws NAME_UNKNOWN. */
  list(repository: RepositoryName, page: Page): Promise<Listing<Tag>>
}

export interface Repositories {
  /** Lists the repositories that the identity may pull from. */
  list(identity: Identity, page: Page): Promise<Listing<RepositoryName>>
}

export interface Page {
  last: string
  limit: number
}

export interface Listing<T> {
  items: T[]
  /** Whether there are more entries. */
  more: boolean
  /** The cursor of the next page, if it is not the last entry. A page may end early, or even be empty. */
  next?: string | undefined
  /** A warning for the client: that the list may be out of date. */
  warning?: string | undefined
}

export interface Referrers {
  /** Lists descriptors of manifests with this subject (end-12). Empty for an unknown repository. */
  list(
    repository: RepositoryName,
    subject: Digest,
    query: ReferrersQuery,
  ): Promise<Listing<ReferrerDescriptor>>
}

export interface ReferrersQuery {
  artifactType?: string | undefined
  last?: Digest | undefined
}

/** A descriptor as returned by the referrers API. */
export interface ReferrerDescriptor {
  mediaType: string
  digest: Digest
  size: number
  artifactType?: string
  annotations?: Record<string, string>
}

/** The configured upstreams. */
export interface Upstreams {
  /** Returns the upstream with this name. */
  find(name: string): Upstream | undefined
  /** Returns the upstream with this name or this host and port. */
  findByHost(host: string): Upstream | undefined
}

export interface Upstream {
  /** The first components of its repositories' full names, such as `docker.io`. */
  name: string
  /** The namespace implied by a name of one component, such as Docker Hub's `library`. */
  namespace: string | undefined
}

/** The listener that received a request. */
export interface Origin {
  /** Reports whether clients reach this registry by this host and port. */
  isOwnHost(host: string): boolean
  /** The upstream that the listener mirrors for Docker's `registry-mirrors`. Undefined on the main listener. */
  mirrorOf: Upstream | undefined
}

/**
 * Returns the full name of the repository that a request addresses: its rows, its grants and its challenges all use
 * this name. A repository of an upstream begins with the upstream's name. The upstream is the one that the listener
 * mirrors, or that `ns` names (distribution-spec, "Registry Proxying"), or that the name begins with.
 *
 * Returns undefined if there can be no such repository: for the bare name of an upstream, and for an `ns` that is
 * neither an upstream nor this registry. Local content is never served under another registry's name, so the client
 * tries its next host. Throws NAME_INVALID if the full name is too long.
 */
export function repositoryOf(
  upstreams: Upstreams,
  origin: Origin,
  name: RepositoryName,
  ns: string | undefined,
): RepositoryName | undefined {
  if (origin.mirrorOf !== undefined) return nameAt(origin.mirrorOf, name)
  if (ns !== undefined && ns !== '' && !origin.isOwnHost(ns)) {
    const upstream = upstreams.findByHost(ns)
    // BuildKit sends ns also to a mirror whose path has the upstream's name already.
    if (upstream !== undefined && name.startsWith(`${upstream.name}/`))
      return nameAt(upstream, name.slice(upstream.name.length + 1))
    return upstream && nameAt(upstream, name)
  }
  // Each pull comes here: a name that is full already is not parsed again.
  const slash = name.indexOf('/')
  const upstream = upstreams.find(slash < 0 ? name : name.slice(0, slash))
  if (upstream === undefined) return name
  if (slash < 0) return undefined
  const isFull = upstream.namespace === undefined || name.includes('/', slash + 1)
  return isFull ? name : nameAt(upstream, name.slice(slash + 1))
}

function nameAt({ name, namespace }: Upstream, path: string): RepositoryName {
  const isBare = namespace !== undefined && !path.includes('/')
  return parseRepositoryName(isBare ? `${name}/${namespace}/${path}` : `${name}/${path}`)
}

/** Returns NAME_UNKNOWN for a repository. */
export function unknownRepository(repository: RepositoryName): RegistryError {
  return registryError('NAME_UNKNOWN', `there is no repository ${repository}`, {
    detail: { name: repository },
  })
}

/** Returns the error for a failed look-up: NAME_UNKNOWN if the repository is missing, else `otherwise`. */
export function unknownIn(
  metadata: Metadata,
  repository: RepositoryName,
  otherwise: RegistryError,
): RegistryError {
  return metadata.repositories.find(repository) === undefined ? unknownRepository(repository) : otherwise
}

/** Returns MANIFEST_UNKNOWN for a reference. */
export function unknownManifest(repository: RepositoryName, reference: Reference) {
  const named = reference.tag === undefined ? `manifest ${reference.digest}` : `tag "${reference.tag}"`
  return registryError('MANIFEST_UNKNOWN', `${repository} has no ${named}`, {
    detail: { name: repository, reference: formatReference(reference) },
  })
}

/** Reads a whole blob into memory. Returns undefined when it is larger than `bytesMax` bytes. */
export async function readBlob(blob: OpenBlob, bytesMax: number): Promise<Uint8Array | undefined> {
  if (blob.size > bytesMax) return undefined
  const body = await blob.read({ start: 0, end: blob.size })
  if ('bytes' in body) return body.bytes
  if ('file' in body) return await Bun.file(body.file).slice(body.range.start, body.range.end).bytes()
  const bytes = new Uint8Array(blob.size)
  let filled = 0
  await body.feed({
    write(part) {
      bytes.set(part, filled)
      filled += part.length
      return true
    },
  })
  return bytes
}

/** How many repositories are tracked. For the others, the newest dropped time counts. */
const REPOSITORIES_MAX = 10_000

/**
 * Remembers when a push last touched each repository. A client that pushes asks for blobs and manifests with HEAD
 * first, which leaves no trace in the database if they are in use. Before the process started, anything may have been
 * pushed, so that is the earliest answer.
 */
export class PushActivity {
  private readonly times = new Map<RepositoryName, number>()
  private readonly now: () => number
  private floor: number
  private newest: number

  constructor(now: () => number) {
    this.now = now
    this.floor = now()
    this.newest = this.floor
  }

  /** Records that a client that may push to the repository has pushed, or asked what exists. */
  note(repository: RepositoryName): void {
    this.newest = this.now()
    this.times.delete(repository)
    this.times.set(repository, this.newest)
    if (this.times.size <= REPOSITORIES_MAX) return
    for (const [oldest, at] of this.times) {
      this.times.delete(oldest)
      this.floor = Math.max(this.floor, at)
      return
    }
  }

  /** Returns the time of the last push, in one repository or in any, in milliseconds since 1970. */
  last(repository: RepositoryName | undefined): number {
    if (repository === undefined) return this.newest
    return Math.max(this.floor, this.times.get(repository) ?? 0)
  }
}
