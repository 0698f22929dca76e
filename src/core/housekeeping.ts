import type { Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'
import type { Clocks } from '../domain/clock.ts'
import { Schedule } from './jobs/schedule.ts'

/** What is done again and again while a server runs. */
export interface Chores {
  clocks: Clocks
  uploads: { expire(before: number): Promise<number> }
  usage: { flush(): Promise<void> }
  cache: { lastUse: { flush(): Promise<void> }; room: { keep(): Promise<void> } }
  collector: {
    run(): Promise<unknown>
    removeLeftBehind(window: { since: number; until: number }): Promise<number | undefined>
  }
  crash: { crashedAt(): number | undefined; touch(): void; settle(): Promise<void> }
  authenticator: { noteUse(): Promise<void> }
  metadata: { write(name: 'removeExpired', args: { before: number }): Promise<void> }
}

/** A clock that is so far behind what was recorded is worth a warning. */
const BEHIND_MS_MAX = 60_000

/** How old the time of a crash may be: it is noted once a minute. */
const CRASH_SLACK_MS = 120_000

/** Does what a server does by itself again and again, until the schedule is stopped. */
export function startHousekeeping(config: Config, log: Logger, chores: Chores): Schedule {
  const { clocks, uploads, usage, cache, collector, authenticator, metadata, crash } = chores
  warnOfClock(clocks, log)
  const schedule = new Schedule(log)
  const { idleSecondsMax } = config.uploads
  const idleMs = idleSecondsMax * 1000
  const now = clocks.steady(idleMs)
  schedule.every(Math.min(3600, idleSecondsMax), 'expire uploads', async () => {
    const expired = await uploads.expire(now() - idleMs)
    if (expired > 0) log.info({ expired }, 'dropped idle uploads')
  })
  schedule.every(10, 'note what was pulled and pushed', () => usage.flush())
  schedule.every(config.gc.intervalSeconds, 'collect garbage', () => collector.run())
  schedule.every(60, 'note what was used of the cache', () => cache.lastUse.flush())
  schedule.every(10, 'keep the reserve of free space', () => cache.room.keep())
  schedule.every(60, 'note the use of tokens', () => authenticator.noteUse())
  schedule.every(3600, 'remove expired tokens', () => metadata.write('removeExpired', { before: now() }))
  schedule.every(60, 'note that the server works', async () => crash.touch())
  const until = clocks.wall()
  schedule.every(Math.min(3600, config.gc.graceSeconds), 'remove what a crash has left', async () => {
    const crashedAt = crash.crashedAt()
    if (crashedAt === undefined) return
    // The bytes of a blob may have been there for long before its push was closed.
    const removed = await collector.removeLeftBehind({ since: crashedAt - idleMs - CRASH_SLACK_MS, until })
    if (removed === undefined) return
    await crash.settle()
    log.info({ removed }, 'removed what a crash had left')
  })
  return schedule
}

function warnOfClock({ wall, now }: Clocks, log: Logger): void {
  const behindMs = now() - wall()
  if (behindMs < BEHIND_MS_MAX) return
  log.warn(
    { behindSeconds: Math.round(behindMs / 1000) },
    "this host's clock is behind what was recorded: set it, for nothing is collected or expires until it has caught up",
  )
}
