import type { Digest, DigestAlgorithm } from '../oci/digest.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Identity } from './access.ts'
import type { OpenBlob, UploadBody } from './blob-body.ts'
import type { Caller } from './caller.ts'
import type { Condition } from './condition.ts'

/** What /v2 needs of a registry. A registry that only pulls has no uploads. */
export interface Registry {
  manifests: Manifests
  blobs: Blobs
  uploads?: Uploads
  tags: Tags
  referrers: Referrers
  repositories: Repositories
  usage: UsageCounter
}

/** Counts what clients did. Costs a look-up in a map, and is written later. */
export interface UsageCounter {
  /** A manifest was sent; with the tag that it was asked for by. */
  pulled(repository: RepositoryName, tag: Tag | undefined): void
  /** A manifest was stored. */
  pushed(repository: RepositoryName): void
}

export interface Manifests {
  /**
   * Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. What an asker who may push is told of stays here for a grace, for a push may
   * count on it.
   */
  get(repository: RepositoryName, reference: Reference, asker?: Identity): Promise<StoredManifest>
  /** Stores the bytes as they are and points the tags at them (end-7). Durable when it resolves. */
  put(caller: Caller, push: ManifestPush): Promise<PushedManifest>
  /** Hides a manifest with all its tags, or one tag (end-9). */
  delete(
    caller: Caller,
    repository: RepositoryName,
    reference: Reference,
    precondition?: Condition,
  ): Promise<void>
}

export interface StoredManifest {
  /** The name under which it was asked for, or that its tag was pushed with. */
  digest: Digest
  mediaType: string
  bytes: Uint8Array
  /** From then on the tag names nothing, in milliseconds since 1970. */
  expiresAt?: number | undefined
  /** What the client should hear of it: that it may be out of date. */
  warning?: string | undefined
}

export interface ManifestPush {
  repository: RepositoryName
  reference: Reference
  /** Further tags of a push by digest. */
  tags: Tag[]
  /** The request's Content-Type, without parameters. */
  contentType: string | undefined
  /** Given away: the buffer is empty after the push. */
  bytes: Uint8Array<ArrayBuffer>
  /** What the digest of each tag must be. */
  precondition?: Condition | undefined
}

export interface PushedManifest {
  digest: Digest
  subject: Digest | undefined
}

export interface Blobs {
  /**
   * Returns the size in bytes, for HEAD. Throws NAME_UNKNOWN or BLOB_UNKNOWN. A blob that an asker who may push was told
   * of is kept for the grace, because a push may count on it.
   */
  getSize(repository: RepositoryName, digest: Digest, asker?: Identity): Promise<number>
  /** Opens a blob to read its bytes, for GET. Throws NAME_UNKNOWN or BLOB_UNKNOWN. */
  open(repository: RepositoryName, digest: Digest): Promise<OpenBlob>
  /**
   * Links a blob of another repository, of `from` or of any that the identity may pull from (end-11).
   * Answers false when there is none.
   */
  mount(caller: Caller, identity: Identity, mount: BlobMount): Promise<boolean>
  /** Hides a blob from the repository (end-10). */
  delete(caller: Caller, repository: RepositoryName, digest: Digest): Promise<void>
}

export interface BlobMount {
  repository: RepositoryName
  digest: Digest
  from: RepositoryName | undefined
}

export interface Uploads {
  /** Begins an upload (end-4a); it survives a restart when this resolves. */
  start(repository: RepositoryName, algorithm: DigestAlgorithm): Promise<UploadState>
  /** Throws BLOB_UPLOAD_UNKNOWN. */
  get(repository: RepositoryName, id: string): Promise<UploadState>
  /** Appends a chunk (end-5). Throws OffsetError when it does not begin where the upload ends. */
  append(repository: RepositoryName, id: string, body: UploadBody): Promise<UploadState>
  /** Appends the last chunk, if any, and makes the upload a blob of the repository (end-6). */
  commit(
    caller: Caller,
    repository: RepositoryName,
    id: string,
    digest: Digest,
    body: UploadBody,
  ): Promise<void>
  /** The whole blob in one go (end-4b). */
  put(caller: Caller, repository: RepositoryName, digest: Digest, body: UploadBody): Promise<void>
  /** Drops the upload (end-14). */
  cancel(repository: RepositoryName, id: string): Promise<void>
}

export interface UploadState {
  id: string
  /** Bytes. */
  size: number
}

export interface Tags {
  /** At most `limit` tags after `last`, in byte order. Throws NAME_UNKNOWN. */
  list(repository: RepositoryName, page: Page): Promise<Listing<Tag>>
}

export interface Repositories {
  /** The repositories that the identity may pull from. */
  list(identity: Identity, page: Page): Promise<Listing<RepositoryName>>
}

export interface Page {
  last: string
  limit: number
}

export interface Listing<T> {
  items: T[]
  /** Whether there are more after the last one. */
  more: boolean
  /** Where the next page begins, when that is not after the last one: a page may end early, even empty. */
  next?: string | undefined
}

export interface Referrers {
  /** A page of descriptors of manifests that have this subject (end-12). Empty when there is no such repository. */
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

/** A descriptor as the referrers API answers it. */
export interface ReferrerDescriptor {
  mediaType: string
  digest: Digest
  size: number
  artifactType?: string
  annotations?: Record<string, string>
}
