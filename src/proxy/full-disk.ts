import { isDiskFull } from '../oci/error.ts'

/** How many bytes are evicted for something small. The database needs some of them to write it. */
const EVICTED_BYTES = 16 * 1024 * 1024

interface Evicting {
  /** Returns how many bytes were freed. */
  evict(bytes: number): Promise<number>
}

/** Stores something small. If the disk is full, evicts and tries once more. */
export async function evictingOnce<T>(room: Evicting, store: () => Promise<T>): Promise<T> {
  try {
    return await store()
  } catch (error) {
    unlessFull(error)
    if ((await room.evict(EVICTED_BYTES)) === 0) throw error
    return await store()
  }
}

/** Throws an error again, unless it is that of a full disk. */
export function unlessFull(error: unknown): undefined {
  if (!isDiskFull(error)) throw error
  return undefined
}
