import { expect, test } from 'bun:test'
import { planHousekeeping } from '../../src/app/housekeeping.ts'
import { loadConfig } from '../../src/config/config.ts'
import { openClocks } from '../../src/runtime/clock.ts'
import { openMemoryLog } from '../support/memory-log.ts'

const DAY = 86_400_000
const WALL = 1000 * DAY

/** Returns the arguments of each chore's first run, when the newest recorded time is `newest`. */
async function firstTurn(newest: number, crashedAt?: number) {
  const { config } = await loadConfig({ flags: { data: '/nowhere' }, file: undefined, environment: {} })
  const { log, lines } = openMemoryLog()
  const asked: Record<string, unknown> = {}
  const note = (name: string) => async (argument: unknown) => {
    asked[name] = argument
    return 0
  }
  const schedule = planHousekeeping(config, log, {
    clocks: openClocks(newest, { wall: () => WALL, monotonic: () => 0 }),
    uploads: { expire: note('expire') },
    usage: { flush: async () => {} },
    labels: { readOld: async () => {} },
    idleMemory: { look: () => {} },
    content: {
      pullCounts: { removeOld: async () => {} },
      retention: { runRegularly: async () => {}, plan: async () => {} },
      quotas: { warn: async () => {} },
      jobs: { start: () => Promise.reject(new Error('no backup is configured')) },
      reserve: { check: async () => {} },
    },
    cache: {
      lastUse: { flush: async () => {} },
      room: { keep: async () => {}, dropIdleFills: async () => 0 },
    },
    collector: { run: async () => {}, removeLeftBehind: note('removeLeftBehind') },
    authenticator: { noteUse: async () => {} },
    metadata: { write: async (name, { before }) => note(name)(before).then(() => {}) },
    scrub: { turn: async () => {}, afterCrash: () => note('afterCrash')(true).then(() => {}) },
    keepClock: async () => {},
    crash: { crashedAt: () => crashedAt, touch: () => {}, settle: () => note('settle')(true).then(() => {}) },
  })
  await schedule.start()
  schedule.stop()
  return { asked, lines }
}

test('housekeeping: uploads and tokens expire by the wall clock, even when recorded time is ahead of it', async () => {
  const { asked, lines } = await firstTurn(WALL + 9 * DAY)
  expect(asked).toEqual({ expire: WALL - DAY, removeExpired: WALL })
  expect(lines).toMatchObject([{ level: 40, behindSeconds: (9 * DAY) / 1000 }])
})

test('housekeeping: files that a crash left are removed if they were written in the day before it', async () => {
  const { asked, lines } = await firstTurn(0, WALL - 3 * DAY)
  expect(asked).toMatchObject({
    removeLeftBehind: { since: WALL - 4 * DAY - 120_000, until: WALL },
    settle: true,
    afterCrash: true,
  })
  expect(lines).toMatchObject([{ removed: 0, msg: 'removed what a crash left behind' }])
})
