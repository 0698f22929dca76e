import type { Write } from '../../domain/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/** What is brought back, or gone back to, within the time machine's window. */
export interface Restore extends Write {
  repository: RepositoryName
  /** Where the window begins, in milliseconds since 1970: what was deleted before may be collected already. */
  windowStart: number
}

/** Throws REQUEST_INVALID for a time that nobody can go back to. */
export function checkTime(time: number, { at, windowStart }: Restore): void {
  if (time > at) throw registryError('REQUEST_INVALID', `${format(time)} has not come yet`)
  if (time >= windowStart) return
  throw registryError(
    'REQUEST_INVALID',
    `${format(time)} is too long ago: the time machine goes back to ${format(windowStart)}`,
  )
}

/** What an error says of something that was deleted before the window. */
export function tooLongAgo(deletedAt: number, { windowStart }: Restore): string {
  return `was deleted at ${format(deletedAt)}, and the time machine goes back to ${format(windowStart)} only`
}

/** What an error says when nothing was deleted, or nothing at the time that is given. */
export function deletedThen({
  deletedAt,
  windowStart,
}: Restore & { deletedAt?: number | undefined }): string {
  if (deletedAt !== undefined) return `was deleted at ${format(deletedAt)}`
  return `was deleted since ${format(windowStart)}, where the time machine's window begins`
}

function format(time: number): string {
  return new Date(time).toISOString()
}
