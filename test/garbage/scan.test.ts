import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type CollectedRegistry, DAY, openCollectedRegistry } from '../support/collected-registry.ts'
import { type Named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'

let cay: CollectedRegistry
beforeEach(async () => {
  cay = await openCollectedRegistry()
})
afterEach(() => cay[Symbol.asyncDispose]())

/** Creates a file as a crash leaves it after the bytes and before the row. */
async function orphan(changedAt: number): Promise<Named> {
  const blob = randomBlob(70_000)
  await mkdir(dirname(cay.pathOf(blob)), { recursive: true })
  await writeFile(cay.pathOf(blob), blob.bytes)
  await utimes(cay.pathOf(blob), changedAt / 1000, changedAt / 1000)
  return blob
}

test('scan: removes files that no row names and that are older than the grace, and nothing else', async () => {
  const [named, small] = [randomBlob(80_000), randomBlob(10)]
  for (const blob of [named, small]) await cay.pushBlob(blob)
  cay.wait(2 * DAY)
  const [old, fresh] = [await orphan(cay.now() - DAY - 1000), await orphan(cay.now() - DAY + 1000)]
  expect(await cay.collector.scan({ removeMany: true })).toEqual({
    files: 3,
    orphans: 2,
    removed: 1,
    bytes: 70_000,
    blobs: 2,
    missing: 0,
    damaged: 0,
  })
  expect([named, small, old, fresh].map((blob) => cay.hasBytes(blob))).toEqual([true, true, false, true])
})

test('scan: removes nothing before the startup grace is over', async () => {
  const old = await orphan(0)
  expect(await cay.collector.scan()).toMatchObject({ orphans: 1, removed: 0 })
  expect(cay.hasBytes(old)).toBe(true)
})

test('scan: reports missing or damaged bytes, and keeps the rows', async () => {
  const [missing, damaged, whole] = [randomBlob(70_010), randomBlob(70_020), randomBlob(70_030)]
  for (const blob of [missing, damaged, whole]) await cay.pushBlob(blob)
  await rm(cay.pathOf(missing))
  await truncate(cay.pathOf(damaged), 5)
  expect(await cay.collector.scan()).toMatchObject({ files: 2, blobs: 3, missing: 1, damaged: 1 })
  const told = cay.log.filter(({ level }) => level === 50)
  expect(told).toMatchObject([
    { digest: missing.digest, size: 70_010 },
    { digest: damaged.digest, size: 70_020, sizeOnDisk: 5 },
  ])
  expect(await cay.hasBlob(missing)).toBe(true)
})

test('scan: reports progress and can be cancelled', async () => {
  for (let n = 0; n < 120; n++) await cay.pushBlob(randomBlob(66_000))
  const progress: [number, number | undefined][] = []
  await cay.collector.scan({ progress: (done, total) => progress.push([done, total]) })
  expect(progress).toEqual([
    [100, 240],
    [220, 240],
    [240, undefined],
  ])
  const cancelled = new AbortController()
  const scan = cay.collector.scan({ signal: cancelled.signal, progress: () => cancelled.abort() })
  expect((await failureOf(scan)).name).toBe('AbortError')
})

test('scan: keeps the file of a small blob from an earlier version while its bytes are nowhere else', async () => {
  const blob = randomBlob(100)
  await cay.pushBlob(blob)
  const moveToFile = async () => {
    await mkdir(dirname(cay.pathOf(blob)), { recursive: true })
    await writeFile(cay.pathOf(blob), blob.bytes)
    await utimes(cay.pathOf(blob), 0, 0)
    using db = new Database(join(cay.data, 'cay.db'))
    db.run('delete from blob_bytes')
  }
  await moveToFile()
  cay.wait(2 * DAY)
  expect(await cay.collector.scan()).toMatchObject({ files: 1, orphans: 0, removed: 0, blobs: 1, missing: 0 })
  await cay.pushBlob(blob)
  expect(await cay.collector.scan()).toMatchObject({
    files: 1,
    orphans: 1,
    removed: 1,
    bytes: 100,
    missing: 0,
  })
  expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([true, true])
})

test('scan: removes nothing if it would remove more than a tenth of the files, unless that is allowed', async () => {
  for (let n = 0; n < 18; n++) await cay.pushBlob(randomBlob(80_000 + n))
  cay.wait(2 * DAY)
  const orphans = [await orphan(0), await orphan(0)]
  expect(await cay.collector.scan()).toMatchObject({ files: 20, orphans: 2, removed: 2 })
  orphans.push(await orphan(0), await orphan(0), await orphan(0))
  expect((await failureOf(cay.collector.scan())).message).toMatch(
    /^CONFLICT: 3 of 21 blob files are not in the database, more than a tenth: .*cay job start scan --remove-many$/,
  )
  expect(orphans.map((blob) => existsSync(cay.pathOf(blob)))).toEqual([false, false, true, true, true])
  expect(await cay.collector.scan({ removeMany: true })).toMatchObject({ files: 21, removed: 3 })
})

test('scan: files that a crash left are removed after the startup grace, but not much older ones', async () => {
  const crashedAt = cay.now()
  const window = { since: crashedAt - DAY, until: crashedAt }
  const [before, left, after] = [
    await orphan(window.since - 1000),
    await orphan(crashedAt - 1000),
    await orphan(window.until + 1000),
  ]
  cay.wait(DAY - 1)
  expect(await cay.collector.removeLeftBehind(window)).toBe(undefined)
  cay.wait(DAY)
  expect(await cay.collector.removeLeftBehind(window)).toBe(1)
  expect([before, left, after].map((blob) => existsSync(cay.pathOf(blob)))).toEqual([true, false, true])
})
