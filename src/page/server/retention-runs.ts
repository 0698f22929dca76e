import type { Item } from './api.ts'

type Event = Item<'events'>

/** What one run of the retention policies has deleted. */
export interface RetentionRun {
  /** When it deleted the last tag. */
  at: string
  events: Event[]
}

/** Deletions that are closer together than this belong to one run. */
const SAME_RUN_MILLISECONDS = 60_000

/** Groups what retention has deleted, the latest first, by run. */
export function runsOf(events: readonly Event[]): RetentionRun[] {
  const runs: RetentionRun[] = []
  let last: Event | undefined
  for (const event of events) {
    const isSame =
      last !== undefined &&
      last.requestId === event.requestId &&
      Date.parse(last.at) - Date.parse(event.at) < SAME_RUN_MILLISECONDS
    if (isSame) runs.at(-1)?.events.push(event)
    else runs.push({ at: event.at, events: [event] })
    last = event
  }
  return runs
}
