import { createHash } from 'node:crypto'
import { registryError } from '../../oci/error.ts'

/**
 * Changes of resources that may have conditions (RFC 9110, 13). Changes of one resource happen one after the other,
 * so that none comes between the check of a condition and the change that it is for.
 */
export class Changes {
  private readonly last = new Map<string, Promise<unknown>>()

  /**
   * Makes a change when the conditions of the request hold for what is there.
   *
   * @param resource names what is changed, the same for each of its changes, as `user alice`
   * @param read the representation that its GET answers; undefined when there is none
   * @throws PRECONDITION_FAILED when a condition does not hold, and what `read` and `change` throw
   */
  async make<T>(
    request: Request,
    resource: string,
    read: () => unknown,
    change: () => T | Promise<T>,
  ): Promise<T> {
    const before = this.last.get(resource)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.last.set(resource, promise)
    try {
      await before
      await checkConditions(request.headers, resource, read)
      return await change()
    } finally {
      resolve()
      if (this.last.get(resource) === promise) this.last.delete(resource)
    }
  }
}

/** The strong entity tag of a representation (RFC 9110, 8.8.3). */
export function etagOf(representation: unknown): string {
  const hash = createHash('sha256').update(JSON.stringify(representation)).digest('base64url')
  return `"${hash.slice(0, 27)}"`
}

/** Whether `If-None-Match` names this entity tag: weak ones are as good (RFC 9110, 13.1.2). */
function isKnown(ifNoneMatch: string | null, etag: string): boolean {
  return (
    ifNoneMatch !== null &&
    parseTags(ifNoneMatch).some((tag) => tag === '*' || tag.replace(/^W\//, '') === etag)
  )
}

/** What is there is read only for a request that has a condition. */
async function checkConditions(headers: Headers, resource: string, read: () => unknown): Promise<void> {
  const [ifMatch, ifNoneMatch] = [headers.get('if-match'), headers.get('if-none-match')]
  if (ifMatch === null && ifNoneMatch === null) return
  const representation = await read()
  const etag = representation === undefined ? undefined : etagOf(representation)
  const isMatch = ifMatch === null || (etag !== undefined && matches(ifMatch, etag))
  if (isMatch && (etag === undefined || !isKnown(ifNoneMatch, etag))) return
  const message =
    etag === undefined ? `${resource} is not there` : `${resource} is there, with the entity tag ${etag}`
  throw registryError('PRECONDITION_FAILED', `${message}: the request's condition excludes that`, {
    ...(etag !== undefined && { headers: { etag } }),
  })
}

/** Weak tags match nothing (RFC 9110, 13.1.1). */
function matches(ifMatch: string, etag: string): boolean {
  return parseTags(ifMatch).some((tag) => tag === '*' || tag === etag)
}

function parseTags(header: string): string[] {
  return header.split(',').map((tag) => tag.trim())
}
