import { expect, test } from 'bun:test'
import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { startInProcess } from '../support/server.ts'

const HOUR = 3_600_000
const START = Date.UTC(2026, 10, 24)

/** Runs a server for some hours after a start at the given hour. Returns when it will collect, or undefined if it can. */
async function serve(data: string, startsAt: number, hours: number): Promise<string | undefined> {
  let at = START + startsAt * HOUR
  await using server = await startInProcess({ data, now: () => at })
  at += hours * HOUR
  const state = (await (await server.fetch('/api/v1/gc')).json()) as { waitingUntil?: string }
  return state.waitingUntil
}

test('gc: a host that reboots every night collects once it has run for the grace period in all', async () => {
  await using folder = await temporaryFolder('restarts')
  expect(await serve(folder.path, 0, 16)).toBe('2026-11-25T00:00:00.000Z')
  // It was off for eight hours, so the rest of the grace period is moved by them.
  expect(await serve(folder.path, 24, 4)).toBe('2026-11-25T08:00:00.000Z')
  expect(await serve(folder.path, 48, 4)).toBeUndefined()
  expect(await serve(folder.path, 72, 0)).toBeUndefined()
})

test.each([
  ['is empty', ''],
  ['is cut off', '{"at":1795'],
  ['has no object', 'null'],
  ['has no numbers', '{"at":"now","jumpedMs":0,"waitMs":0}'],
  ['has negative numbers', '{"at":-1,"jumpedMs":0,"waitMs":0}'],
])(
  'gc: a recorded clock that %s counts for nothing, and the whole grace period is waited for',
  async (_, text) => {
    await using folder = await temporaryFolder('restarts')
    await Bun.write(join(folder.path, 'gc-clock'), text)
    expect(await serve(folder.path, 0, 4)).toBe('2026-11-25T00:00:00.000Z')
  },
)

test('gc: a clock that cannot be recorded does not keep a server from closing its database', async () => {
  await using folder = await temporaryFolder('restarts')
  // The file would be written here first.
  await symlink(join(folder.path, 'absent', 'file'), join(folder.path, 'gc-clock.new'))
  const server = await startInProcess({ data: folder.path })
  await server.stop()
  expect(server.log()).toContainEqual(
    expect.objectContaining({ msg: 'cannot record the clock of garbage collection' }),
  )
  await using _again = await startInProcess({ data: folder.path })
})
