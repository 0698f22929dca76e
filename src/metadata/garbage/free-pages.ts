import type { Db } from '../database.ts'
import { partTime } from '../writer/part-time.ts'
import { batchOf, type CollectionBatch } from './collection.ts'

/** How many pages are released between two checks of the time. */
const STEP_PAGES = 32

/** How many free pages are kept for later writes: a share of the database, and a minimum (4 KiB each). */
const KEPT_SHARE = 0.05
const KEPT_PAGES_MIN = 256

/** Writes that shrink the database's file. */
export function pageWrites({ $client }: Db) {
  const countOf = (pragma: 'freelist_count' | 'page_count') =>
    Number($client.query(`PRAGMA ${pragma}`).values()[0]?.[0])
  const surplus = () =>
    countOf('freelist_count') - Math.max(KEPT_PAGES_MIN, countOf('page_count') * KEPT_SHARE)
  return {
    /** Releases some free pages. The file shrinks with the next checkpoint. */
    releasePages(_: object): CollectionBatch {
      const isOver = partTime()
      while (surplus() > 0) {
        if (isOver()) return batchOf({ more: true })
        $client.query(`PRAGMA incremental_vacuum(${STEP_PAGES})`).values()
      }
      return batchOf({})
    },
  }
}
