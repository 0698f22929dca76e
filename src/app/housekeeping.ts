import type { Logger } from 'pino'
import { backUpIfDue } from '../backup/job.ts'
import type { Config } from '../config/schema.ts'
import { type Jobs, Schedule } from '../jobs/jobs.ts'
import type { Clocks } from '../runtime/clock.ts'
import { IDLE_LOOK_SECONDS, type IdleMemory } from '../runtime/idle-memory.ts'

/** What the periodic work of a running server needs. */
export interface Chores {
  clocks: Clocks
  uploads: { expire(before: number): Promise<number> }
  usage: { flush(): Promise<void> }
  labels: { readOld(): Promise<void> }
  content: {
    pullCounts: { removeOld(): Promise<void> }
    retention: { runRegularly(): Promise<void>; plan(): Promise<void> }
    quotas: { warn(): Promise<void> }
    jobs: Pick<Jobs, 'start'>
    reserve: { check(): Promise<void> }
  }
  cache: {
    lastUse: { flush(): Promise<void> }
    room: { keep(): Promise<void>; dropIdleFills(before: number): Promise<number> }
  }
  collector: {
    run(): Promise<unknown>
    removeLeftBehind(window: { since: number; until: number }): Promise<number | undefined>
  }
  scrub: { turn(): Promise<void>; afterCrash(): Promise<void> }
  idleMemory: Pick<IdleMemory, 'look'>
  crash: { crashedAt(): number | undefined; touch(): void; settle(): Promise<void> }
  authenticator: { noteUse(): Promise<void> }
  metadata: { write(name: 'removeExpired', args: { before: number }): Promise<void> }
  keepClock(): Promise<void>
}

/** A clock this far behind the recorded time is worth a warning. */
const BEHIND_MS_MAX = 60_000

/** How inaccurate the time of a crash may be: the marker is touched once a minute. */
const CRASH_SLACK_MS = 120_000

/** Returns the periodic work of a server. Create it before requests are accepted, and start it afterwards. */
export function planHousekeeping(config: Config, log: Logger, chores: Chores): Schedule {
  const { clocks, uploads, usage, content, cache, collector, authenticator, metadata, crash } = chores
  warnOfClock(clocks, log)
  const schedule = new Schedule(log)
  const { idleSecondsMax } = config.uploads
  const idleMs = idleSecondsMax * 1000
  const now = clocks.steady(idleMs)
  schedule.every(Math.min(3600, idleSecondsMax), 'expire uploads', async () => {
    const expired = await uploads.expire(now() - idleMs)
    if (expired > 0) log.info({ expired }, 'expired idle uploads')
    await cache.room.dropIdleFills(now() - idleMs)
  })
  schedule.every(10, 'write the counts of pulls and pushes', () => usage.flush())
  schedule.once('read the labels of manifests of an older version', () => chores.labels.readOld())
  schedule.every(3600, 'delete old counts of pulls', () => content.pullCounts.removeOld())
  schedule.every(config.gc.intervalSeconds, 'apply the retention policies', () =>
    content.retention.runRegularly(),
  )
  schedule.every(60, 'note what has changed for retention', () => content.retention.plan())
  schedule.every(60, 'warn of quotas that are almost full', () => content.quotas.warn())
  schedule.every(config.gc.intervalSeconds, 'collect garbage', () => collector.run())
  schedule.every(60, 'write when cached content was last used', () => cache.lastUse.flush())
  schedule.every(10, 'keep the cache within its limits', () => cache.room.keep())
  schedule.every(60, 'write when tokens were last used', () => authenticator.noteUse())
  schedule.every(3600, 'remove expired tokens', () => metadata.write('removeExpired', { before: now() }))
  schedule.every(60, 'verify stored content', () => chores.scrub.turn())
  if (crash.crashedAt() !== undefined) schedule.once('check the database', () => chores.scrub.afterCrash())
  const backupCheckSeconds = Math.min(3600, config.backup.intervalSeconds)
  schedule.every(backupCheckSeconds, 'start the scheduled backup', () =>
    backUpIfDue(config, content.jobs, clocks.wall),
  )
  schedule.every(10, 'check the free space of the disk', () => content.reserve.check())
  schedule.every(600, 'record the clock of garbage collection', () => chores.keepClock())
  schedule.every(60, 'touch the crash marker', async () => crash.touch())
  schedule.every(IDLE_LOOK_SECONDS, 'return unused memory', async () => chores.idleMemory.look())
  const until = clocks.wall()
  schedule.every(Math.min(3600, config.gc.graceSeconds), 'remove what a crash left behind', async () => {
    const crashedAt = crash.crashedAt()
    if (crashedAt === undefined) return
    // The bytes of an upload may be much older than the request that completes it.
    const removed = await collector.removeLeftBehind({ since: crashedAt - idleMs - CRASH_SLACK_MS, until })
    if (removed === undefined) return
    await crash.settle()
    log.info({ removed }, 'removed what a crash left behind')
  })
  return schedule
}

function warnOfClock({ wall, now }: Clocks, log: Logger): void {
  const behindMs = now() - wall()
  if (behindMs < BEHIND_MS_MAX) return
  log.warn(
    { behindSeconds: Math.round(behindMs / 1000) },
    "this host's clock is behind the recorded time: set it; nothing is collected or expires until it has caught up",
  )
}
