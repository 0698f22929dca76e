import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { Tag } from '../../oci/reference.ts'

/** What a conditional push, change or delete expects of a tag (RFC 9110, 13.1): digests, or `*` for any. */
export interface Precondition {
  ifMatch?: string[]
  ifNoneMatch?: string[]
  /** Besides, when the tag must end; null: never. */
  expiresAt?: number | null
}

/** Throws 412 when the tag is not what the caller expects; undefined is a tag that is not there. */
export function checkPrecondition(
  name: Tag,
  found: { digest: Buffer; expiresAt: number | null } | undefined,
  expected: Precondition,
): void {
  const digest: Digest | undefined = found && digestFromBytes(found.digest)
  const matches = (list: string[]) => digest !== undefined && (list.includes('*') || list.includes(digest))
  const failed =
    (expected.ifMatch !== undefined && !matches(expected.ifMatch)) ||
    (expected.ifNoneMatch !== undefined && matches(expected.ifNoneMatch)) ||
    (expected.expiresAt !== undefined && expected.expiresAt !== found?.expiresAt)
  if (!failed) return
  const state = digest === undefined ? 'does not exist' : `is at ${digest}`
  throw registryError('DENIED', `the tag "${name}" ${state}, which the request's condition excludes`, {
    status: 412,
    ...(digest === undefined ? {} : { headers: { etag: `"${digest}"` } }),
  })
}
