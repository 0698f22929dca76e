/** The place of a row in the order of a time and the row's id. */
export interface TimePlace {
  /** Milliseconds since 1970. */
  at: number
  id: number
}

/**
 * Yields rows in the order of their time and id, some at a time. Rows of the same time are read by a statement of
 * their own, because SQLite cannot seek an index to a time and an id: each page would read all earlier rows of that
 * time again.
 */
export function* inTimeOrder<Row extends TimePlace>(
  start: TimePlace,
  { sameTime, later }: Record<'sameTime' | 'later', (after: TimePlace) => Row[]>,
): Iterable<Row> {
  for (let after = start; ; ) {
    const rest = sameTime(after)
    const page = rest.length > 0 ? rest : later(after)
    const last = page.at(-1)
    if (last === undefined) return
    after = last
    yield* page
  }
}
