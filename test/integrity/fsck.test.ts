import { Database } from 'bun:sqlite'
import { expect, setDefaultTimeout, test } from 'bun:test'
import { closeSync, openSync, writeSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { blobPlace } from '../../src/storage/blob-store.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { expectStatus, pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, startInProcess } from '../support/server.ts'

// Each test starts the executable several times, which takes long on a busy machine.
setDefaultTimeout(60_000)

const layer = randomBlob(200_000)

/** A data folder with two images, of which one lost its tag, and a deleted repository. */
async function filledFolder(): Promise<TemporaryFolder> {
  const folder = await temporaryFolder('fsck')
  await using server = await startInProcess({ data: folder.path })
  await pushImage(server, 'team/app', imageManifest(EMPTY, [layer]), [layer], { reference: 'v1' })
  await pushImage(server, 'team/app', imageManifest(EMPTY, []), [], { reference: 'v1' })
  const gone = await pushImage(server, 'gone', imageManifest(EMPTY, []), [], { reference: 'v1' })
  await expectStatus(await server.fetch(`/v2/gone/manifests/${gone.digest}`, { method: 'DELETE' }), 202)
  return folder
}

const fsck = (folder: TemporaryFolder, ...more: string[]) => runCay(['fsck', '--data', folder.path, ...more])

const change = (folder: TemporaryFolder, sql: string) => {
  using db = new Database(join(folder.path, 'cay.db'))
  db.run(sql)
}

test('fsck: a data folder is consistent, also while cay serves', async () => {
  await using folder = await filledFolder()
  expect(await fsck(folder)).toEqual({
    code: 0,
    output: 'The data folder is consistent: 2 blobs.\n',
    errors: '',
  })
  await using server = await startExecutable({ data: folder.path })
  expect((await fsck(folder)).code).toBe(0)
  const repair = await fsck(folder, '--repair')
  expect(repair).toMatchObject({ code: 1, errors: expect.stringContaining('stop it before you repair') })
  expect((await server.fetch('/v2/team/app/manifests/v1', { headers: { accept: '*/*' } })).status).toBe(200)
})

test.each([
  ['update repository set blob_bytes = 5', 'sums of blobs of a repository are wrong'],
  ['update repository set tag_count = 7', 'counts of tags and manifests of a repository are wrong'],
  ["update total set value = 9 where name = 'blob.bytes'", 'the total blob.bytes is wrong'],
  ['update manifest set unreferenced_at = null', 'unreferenced manifests are not marked as garbage'],
  [
    'update manifest set unreferenced_at = 1 where deleted_at is null',
    'manifests in use are marked as garbage',
  ],
  ['update repository_blob set unreferenced_at = 1', 'blobs in use are marked as garbage'],
  [
    "insert into repository_search (repository_search) values ('delete-all')",
    'the search index differs from the repositories',
  ],
  [
    `insert into repository_search (repository_search, rowid, name, description)
       select 'delete', id, name, description from repository where name = 'gone';
     insert into repository_search (rowid, name, description) select id, 'another', '' from repository where name = 'gone'`,
    'the search index differs from the repositories',
  ],
  ["insert into manifest_bytes values (zeroblob(32), 'x')", 'bytes of manifests have no manifest'],
])('fsck: "%s" is found and repaired', async (sql, what) => {
  await using folder = await filledFolder()
  change(folder, sql)
  expect(await fsck(folder)).toMatchObject({
    code: 1,
    output: expect.stringContaining(`${what} (--repair repairs this)`),
  })
  expect(await fsck(folder, '--repair')).toMatchObject({
    code: 0,
    output: expect.stringContaining('(repaired)'),
  })
  expect((await fsck(folder)).output).toBe('The data folder is consistent: 2 blobs.\n')
})

test('fsck: lost content is named, and not repaired', async () => {
  await using folder = await filledFolder()
  await rm(blobPlace(folder.path, parseDigest(layer.digest)).file)
  change(folder, 'delete from manifest_bytes where rowid = 1')
  change(folder, "update tag set digest = zeroblob(32) where name = 'v1'")
  const stray = blobPlace(folder.path, parseDigest(`sha256:${'1'.repeat(64)}`)).file
  await mkdir(dirname(stray), { recursive: true })
  await writeFile(stray, 'stray')
  const { code, output } = await fsck(folder, '--repair')
  expect(code).toBe(6)
  expect(output).toContain('1: manifests have no bytes, or the wrong number of bytes')
  expect(output).toContain('1: tags differ from their history')
  expect(output).toContain(
    `1: blobs are missing or have the wrong size; push them again, or restore a backup\n  ${layer.digest}`,
  )
  expect(output).toContain('1: files are not in the database')
})

test('fsck: damaged pages of the database are reported with the way back', async () => {
  await using folder = await filledFolder()
  const file = openSync(join(folder.path, 'cay.db'), 'r+')
  for (let page = 2; page < 40; page++) writeSync(file, randomBlob(16).bytes, 0, 16, page * 4096)
  closeSync(file)
  const { code, output, errors } = await fsck(folder)
  expect([code === 0, `${output}${errors}`]).toEqual([false, expect.stringMatching(/damaged|malformed/)])
})
