import { expect, test } from 'bun:test'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { digestOf, named } from '../support/content.ts'
import { startUpload } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'
import { until } from '../support/until.ts'

const HOUR = 3600

/** The files of all uploads in a data folder. */
function filesOf(data: string): string[] {
  return [...new Bun.Glob('*').scanSync(join(data, 'uploads'))].filter((name) => name !== 'key')
}

test('uploads: those that have not grown for the idle time are deleted, and the others are kept', async () => {
  await using folder = await temporaryFolder('idle')
  const first = await startInProcess({ data: folder.path })
  const started = await Promise.all(Array.from({ length: 3 }, () => startUpload(first, 'a')))
  for (const location of started.slice(0, 2)) await first.fetch(location, { method: 'PATCH', body: 'kept' })
  await first.stop()
  const threeHoursAgo = Date.now() / 1000 - 3 * HOUR
  const [uuid = ''] = started[0]!.split('/').at(-1)!.split('~')
  const [file = ''] = filesOf(folder.path).filter((name) => name.startsWith(uuid))
  await utimes(join(folder.path, 'uploads', file), threeHoursAgo, threeHoursAgo)
  const settings = { 'uploads.idle-seconds-max': String(2 * HOUR) }
  await using again = await startInProcess({ data: folder.path, settings })
  await until(async () => again.log().some(({ msg }) => msg === 'expired idle uploads'))
  const statuses = await Promise.all(started.map(async (location) => (await again.fetch(location)).status))
  expect(statuses).toEqual([404, 204, 204])
})

test('uploads: leftovers of a crash are deleted at the next start, and uploads in progress are kept', async () => {
  await using folder = await temporaryFolder('crash')
  const first = await startInProcess({ data: folder.path })
  const location = await startUpload(first, 'a')
  await first.fetch(location, { method: 'PATCH', body: 'kept' })
  await first.stop()
  const [file = ''] = filesOf(folder.path)
  for (const extension of ['published', 'copy']) {
    await Bun.write(join(folder.path, 'uploads', `${file}.${extension}`), 'left')
  }
  await using again = await startInProcess({ data: folder.path })
  expect(filesOf(folder.path)).toEqual([file])
  const closed = await again.fetch(`${location}?digest=${digestOf(named('kept').bytes)}`, { method: 'PUT' })
  expect(closed.status).toBe(201)
})

test('uploads: a key file that a power loss emptied is replaced', async () => {
  await using folder = await temporaryFolder('key')
  const key = join(folder.path, 'uploads', 'key')
  await Bun.write(key, '')
  await using server = await startInProcess({ data: folder.path })
  expect(await Bun.file(key).bytes()).toHaveLength(32)
  const location = await startUpload(server, 'a')
  expect((await server.fetch(location)).status).toBe(204)
})
