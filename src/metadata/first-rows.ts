import { turn } from '../turn.ts'

/** How many rows are examined in one turn of some milliseconds. */
const ROWS_A_TURN = 1000

/**
 * Returns the first rows after `after` in an order that no index has, because each push would have to update it. Other
 * requests get turns meanwhile.
 *
 * @param read returns at most `size` rows after `last`, in the order of an index
 */
export async function firstRows<Row>(
  read: (last: Row | undefined, size: number) => Row[],
  compare: (a: Row, b: Row) => number,
  limit: number,
  after?: Row,
): Promise<Row[]> {
  let found: Row[] = []
  for (let last: Row | undefined; ; await turn()) {
    const rows = read(last, ROWS_A_TURN)
    found.push(...rows.filter((row) => after === undefined || compare(after, row) < 0))
    found = found.sort(compare).slice(0, limit)
    if (rows.length < ROWS_A_TURN) return found
    last = rows.at(-1)
  }
}
