import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/** A restore or a rewind, within the undo window. */
export interface Restore extends Write {
  repository: RepositoryName
  /** The start of the undo window, in milliseconds since 1970. Content deleted before it may be collected already. */
  windowStart: number
}

/** Throws REQUEST_INVALID for a time outside the undo window. */
export function checkTime(time: number, { at, windowStart }: Restore): void {
  if (time > at) throw registryError('REQUEST_INVALID', `${format(time)} is in the future`)
  if (time >= windowStart) return
  throw registryError(
    'REQUEST_INVALID',
    `${format(time)} is too long ago: the earliest time is ${format(windowStart)}`,
  )
}

/** Says in an error that content was deleted before the undo window. */
export function tooLongAgo(deletedAt: number, { windowStart }: Restore): string {
  return `was deleted at ${format(deletedAt)}; only what was deleted since ${format(windowStart)} can be restored`
}

/** Says in an error that nothing was deleted, or nothing at the given time. */
export function deletedThen({
  deletedAt,
  windowStart,
}: Restore & { deletedAt?: number | undefined }): string {
  if (deletedAt !== undefined) return `was deleted at ${format(deletedAt)}`
  return `was deleted since ${format(windowStart)}, the earliest time to restore from`
}

function format(time: number): string {
  return new Date(time).toISOString()
}
