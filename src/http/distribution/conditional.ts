import type { Precondition } from '../../domain/precondition.ts'
import type { Digest } from '../../oci/digest.ts'

/** Whether `If-None-Match` names what the client has already: the answer is 304 (RFC 9110, 13.1.2). */
export function isNotModified(request: Request, digest: Digest): boolean {
  const header = request.headers.get('if-none-match')
  if (header === null) return false
  const tags = parseEntityTags(header)
  return tags.includes('*') || tags.includes(digest)
}

/** What `If-Match` and `If-None-Match` of a push or a delete ask for. */
export function preconditionOf(request: Request): Precondition | undefined {
  const match = request.headers.get('if-match')
  const noneMatch = request.headers.get('if-none-match')
  if (match === null && noneMatch === null) return undefined
  return {
    ...(match === null ? {} : { ifMatch: parseEntityTags(match) }),
    ...(noneMatch === null ? {} : { ifNoneMatch: parseEntityTags(noneMatch) }),
  }
}

/** The tags of a list, without their quotes; cay's are digests, so a weak one is as good as a strong one. */
function parseEntityTags(header: string): string[] {
  return header.split(',').map((tag) =>
    tag
      .trim()
      .replace(/^(?:W\/)?"?/, '')
      .replace(/"$/, ''),
  )
}
