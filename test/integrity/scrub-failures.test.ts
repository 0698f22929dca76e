import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { closeSync, existsSync, openSync, writeSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { ContentVerifier } from '../../src/integrity/content-check.ts'
import { parseScrubHours } from '../../src/integrity/integrity.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'
import { damageOf, fileOf, LAYER_BYTES, runJob, status } from '../support/scrub.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

/** Damages a blob in a folder whose quarantine cannot be written. */
async function damageUnmovably(server: TestServer) {
  const layer = randomBlob(LAYER_BYTES)
  await pushImage(server, 'app', imageManifest(EMPTY, [layer]), [layer], { reference: 'v1' })
  await writeFile(fileOf(server, layer), layer.bytes.with(9, (layer.bytes[9] ?? 0) ^ 1))
  await writeFile(join(server.data, 'quarantine'), 'not a folder')
  return layer
}

test('scrub: a damaged blob that cannot be moved is hidden until it is pushed again, also after a restart', async () => {
  await using folder = await temporaryFolder('scrub')
  const data = folder.path
  let layer: Named
  {
    await using server = await startInProcess({ data })
    layer = await damageUnmovably(server)
    expect(await runJob(server)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('1 blobs or manifests could not be verified or moved to quarantine'),
    })
    expect(await damageOf(server)).toMatchObject([{ digest: layer.digest }])
    expect(await status(server, `/v2/app/blobs/${layer.digest}`)).toBe(404)
    const mount = `/v2/other/blobs/uploads/?mount=${layer.digest}&from=app`
    expect(await status(server, mount, 'POST')).toBe(202)
  }
  await using server = await startInProcess({ data })
  expect(await status(server, `/v2/app/blobs/${layer.digest}`)).toBe(404)
  await pushBlob(server, 'app', layer)
  expect(await (await server.fetch(`/v2/app/blobs/${layer.digest}`)).bytes()).toEqual(layer.bytes)
  expect(await damageOf(server)).toEqual([])
})

test('scrub: a damaged blob that could not be moved heals when its file is good again', async () => {
  await using server = await startInProcess()
  const layer = await damageUnmovably(server)
  await runJob(server)
  await writeFile(fileOf(server, layer), layer.bytes)
  expect(await runJob(server)).toMatchObject({ state: 'done', result: { damaged: 0, failed: 0 } })
  expect(await (await server.fetch(`/v2/app/blobs/${layer.digest}`)).bytes()).toEqual(layer.bytes)
  expect(await damageOf(server)).toEqual([])
})

test('scrub: a damaged blob that could not be moved heals when the cache fetches it again', async () => {
  await using cache = await startCache()
  const { layer, manifest } = cache.fake.putImage('library/app', '1', [LAYER_BYTES])
  const pull = async () => [
    await (await cache.get('manifests/1')).bytes(),
    await (await cache.get(`blobs/${layer.digest}`)).bytes(),
  ]
  const { server } = cache
  await pull()
  await until(() => existsSync(fileOf(server, layer)))
  await pushImage(server, 'mine', imageManifest(EMPTY, [layer]), [layer], { reference: 'v1' })
  await writeFile(fileOf(server, layer), layer.bytes.with(7, (layer.bytes[7] ?? 0) ^ 1))
  await writeFile(join(server.data, 'quarantine'), 'not a folder')
  expect((await runJob(server)).state).toBe('failed')
  expect(await status(server, `/v2/mine/blobs/${layer.digest}`)).toBe(404)
  expect(await pull()).toEqual([manifest.bytes, layer.bytes])
  await until(async () => (await damageOf(server)).length === 0)
  expect(await (await server.fetch(`/v2/mine/blobs/${layer.digest}`)).bytes()).toEqual(layer.bytes)
})

test('scrub: damaged pages of the database are reported with the way back, and good content is pulled', async () => {
  await using folder = await temporaryFolder('scrub')
  const data = folder.path
  const image = imageManifest(EMPTY, [])
  {
    await using server = await startInProcess({ data })
    await pushImage(server, 'app', image, [], { reference: 'v1' })
  }
  {
    using db = new Database(join(data, 'cay.db'))
    db.run('PRAGMA wal_checkpoint(TRUNCATE)')
    const index = db.query<{ page: number }, []>(
      "select rootpage as page from sqlite_master where type = 'index' and tbl_name = 'tag_history' limit 1",
    )
    const file = openSync(join(data, 'cay.db'), 'r+')
    writeSync(file, new Uint8Array(8).fill(0xff), 0, 8, ((index.get()?.page ?? 0) - 1) * 4096)
    closeSync(file)
  }
  await using server = await startInProcess({ data, settings: { 'backup.folder': '/mnt/backup' } })
  expect(await runJob(server)).toMatchObject({
    state: 'failed',
    error: expect.stringMatching(/database is damaged: .* cay restore \/mnt\/backup --data FOLDER/),
  })
  expect(await (await server.fetch('/metrics')).text()).toMatch(/cay_database_faults [1-9]/)
  expect(await (await server.fetch('/v2/app/manifests/v1')).bytes()).toEqual(image.bytes)
})

test('scrub: the rate holds over many small files together', async () => {
  await using folder = await temporaryFolder('scrub')
  const verifier = new ContentVerifier()
  const bytesPerSecondMax = 1_000_000
  const [files, bytes] = [60, 10_000]
  const startedAt = performance.now()
  for (let n = 0; n < files; n++) {
    const { digest, bytes: content } = randomBlob(bytes)
    const file = join(folder.path, `${n}`)
    await writeFile(file, content)
    const question = { digest: parseDigest(digest), content: file, bytesPerSecondMax }
    expect(await verifier.isGood(question, new AbortController().signal)).toBe(true)
  }
  await verifier.stop()
  const secondsMin = ((files - 2) * bytes) / bytesPerSecondMax
  expect((performance.now() - startedAt) / 1000).toBeGreaterThan(secondsMin)
})

test('scrub: the hours of a day can pass midnight', () => {
  const at = (hour: number) => new Date(2026, 5, 5, hour, 30).getTime()
  const included = (text: string) =>
    Array.from({ length: 24 }, (_, hour) => hour).filter((hour) => parseScrubHours(text).include(at(hour)))
  expect(included('1-5')).toEqual([1, 2, 3, 4])
  expect(included('22-2')).toEqual([0, 1, 22, 23])
  expect(included('0-24')).toHaveLength(24)
  expect([parseScrubHours('22-2').count, parseScrubHours('0-24').count]).toEqual([4, 24])
})
