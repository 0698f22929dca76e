import type { Write } from '../../../domain/access/caller.ts'
import type { Condition } from '../../../domain/access/condition.ts'
import type { Digest } from '../../../oci/digest.ts'
import type { Manifest, ManifestReference } from '../../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'

/** A push of a manifest. */
export interface ManifestPut extends Write {
  repository: RepositoryName
  /** The digest that the manifest is pushed with; for a push by tag, its sha256. */
  digest: Digest
  /** The manifest's sha256, which identifies it whatever digest it was pushed with. */
  sha256: Digest
  tags: Tag[]
  /** Seconds until the tags expire; undefined if they do not. */
  expiresAfterSeconds?: number | undefined
  manifest: Omit<Manifest, 'annotations'>
  bytes: Uint8Array<ArrayBuffer>
  /** The labels that a search finds: see `searchableLabels`. */
  labels?: readonly string[]
  /** References of these roles need not be in the repository. */
  optionalRoles: ManifestReference['role'][]
  /** The condition on the digest of each tag. */
  precondition?: Condition | undefined
  /** When cached content was used, in milliseconds since 1970; undefined for a push. */
  usedAt?: number | undefined
}
