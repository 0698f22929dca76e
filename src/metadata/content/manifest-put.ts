import type { Write } from '../../domain/caller.ts'
import type { Condition } from '../../domain/condition.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Manifest, ManifestReference } from '../../oci/manifest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'

/** A push of a manifest. */
export interface ManifestPut extends Write {
  repository: RepositoryName
  /** The digest that the manifest is pushed with; for a push by tag, its sha256. */
  digest: Digest
  /** The manifest's sha256, by which it is found again whatever it was pushed with. */
  sha256: Digest
  tags: Tag[]
  /** Seconds until these tags expire; undefined: they stay. */
  expiresAfterSeconds?: number | undefined
  manifest: Omit<Manifest, 'annotations'>
  bytes: Uint8Array<ArrayBuffer>
  /** References of these roles need not be in the repository. */
  optionalRoles: ManifestReference['role'][]
  /** What the digest of each tag must be. */
  precondition?: Condition | undefined
  /** It comes from an upstream, and is used at this time; undefined: it is pushed. */
  usedAt?: number | undefined
}
