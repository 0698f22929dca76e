import type { Precondition } from '../../domain/precondition.ts'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { Tag } from '../../oci/reference.ts'

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
