import type { Digest } from '../oci/digest.ts'

/** A manifest as it is stored. */
export interface Document {
  bytes: Uint8Array<ArrayBuffer>
  mediaType: string
}

/** Sends a request to a path of a registry. */
export type Send = (path: string, init?: RequestInit) => Promise<Response>

/** Something to copy: a tag, or a manifest by its digest. */
export interface Listed {
  repository: string
  reference: string
}

/** Where images are copied from. Repositories and references are not validated: the target does that. */
export interface ImageSource {
  /** Lists tags, and after those of a repository its manifests without one, as far as the source can list them. */
  list(): AsyncIterable<Listed>
  /** Returns undefined if the source does not have the manifest. */
  manifest(repository: string, reference: string): Promise<Document | undefined>
  /** Returns undefined if the source does not have the blob. */
  blob(repository: string, digest: Digest): Promise<ReadableStream<Uint8Array> | undefined>
  /** Returns the file of a blob that a target can link to, if the source keeps its files as they are. */
  fileOf?(digest: Digest): string
  /** Returns the digests of the manifests that refer to this one. */
  referrers(repository: string, digest: string): Promise<string[]>
}

/** Returns the reason of a failure, in words for people. */
export class TransferError extends Error {
  override name = 'TransferError'
}
