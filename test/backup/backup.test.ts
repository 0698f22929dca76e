import { expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, statSync, truncateSync } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { blobPlace } from '../../src/storage/blob-store.ts'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

// Each test starts the executable several times, which takes long on a busy machine.
setDefaultTimeout(60_000)

const LAYER_BYTES = 200_000

/** Pushes an image with a layer that is stored in a file. */
async function pushOne(
  server: TestServer,
  repository: string,
  tag: string,
): Promise<[image: Named, layer: Named]> {
  const layer = randomBlob(LAYER_BYTES)
  const image = await pushImage(server, repository, imageManifest(EMPTY, [layer]), [layer], {
    reference: tag,
  })
  return [image, layer]
}

const fileOf = (folder: string, { digest }: Named) => blobPlace(folder, parseDigest(digest)).file

async function bytesAt(server: TestServer, path: string): Promise<Uint8Array | number> {
  const response = await server.fetch(path, { headers: { accept: '*/*' } })
  return response.ok ? await response.bytes() : response.status
}

test('backup: a snapshot made while cay serves restores every tag and byte of its time', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await using server = await startExecutable()
  const [first, layer] = await pushOne(server, 'team/app', 'v1')

  const made = await runCay(['backup', target, '--data', server.data])
  expect(made).toMatchObject({ code: 0 })
  expect(made.output).toContain('1 repository, 1 tag, 1 manifest, 2 blobs')
  expect(made.output).toContain('copied 1 new blob')
  expect(made.output).toContain('keep it private')
  await pushOne(server, 'team/app', 'v1')

  expect(await runCay(['restore', target, '--data', restored])).toMatchObject({ code: 0 })
  await using copy = await startExecutable({ data: restored })
  expect(await bytesAt(copy, '/v2/team/app/manifests/v1')).toEqual(first.bytes)
  expect(await bytesAt(copy, `/v2/team/app/blobs/${layer.digest}`)).toEqual(layer.bytes)
  expect(await bytesAt(copy, `/v2/team/app/blobs/${EMPTY.digest}`)).toEqual(EMPTY.bytes)
})

test('backup: a second snapshot copies only new blobs, and --keep deletes old snapshots with their blobs', async () => {
  await using folder = await temporaryFolder('backup')
  const target = join(folder.path, 'target')
  await using server = await startExecutable()
  const [, removed] = await pushOne(server, 'app', 'v1')
  await runCay(['backup', target, '--data', server.data])
  await server.stop()
  await rm(server.data, { recursive: true, force: true })

  await using other = await startExecutable()
  const [, kept] = await pushOne(other, 'app', 'v2')
  await runCay(['backup', target, '--data', other.data])
  const again = await runCay(['backup', target, '--data', other.data, '--keep', '2'])
  expect(again.output).toContain('copied 0 new blobs')
  expect(again.output).toMatch(/deleted snapshot \d{8}T\d{6}Z/)
  expect(existsSync(fileOf(target, removed))).toBe(false)
  expect(existsSync(fileOf(target, kept))).toBe(true)
  const listed = await runCay(['backup', target, '--list'])
  expect(listed.output.trim().split('\n')).toHaveLength(2)
})

test('backup: files are private, and secrets of the data folder are included', async () => {
  await using folder = await temporaryFolder('backup')
  const target = join(folder.path, 'target')
  await using server = await startExecutable({ settings: { tls: 'auto' } })
  await runCay(['backup', target, '--data', server.data])
  const [name = ''] = await readdir(join(target, 'snapshots'))
  const files = await readdir(join(target, 'snapshots', name), { recursive: true, withFileTypes: true })
  const paths = files.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))
  expect(paths.map((path) => path.replace(/.*Z\//, ''))).toContain('tls/rootCA-key.pem')
  const secrets = paths.filter((path) => !path.endsWith('rootCA.pem'))
  for (const path of [target, ...secrets]) expect(statSync(path).mode & 0o077).toBe(0)
})

test('backup: --verify and restore find a damaged blob, and restore the rest', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await using server = await startExecutable()
  const [, good] = await pushOne(server, 'app', 'good')
  const [, bad] = await pushOne(server, 'app', 'bad')
  await runCay(['backup', target, '--data', server.data])
  await server.stop()
  expect((await runCay(['backup', target, '--verify'])).output).toContain('is intact')
  await rm(fileOf(target, bad))
  await Bun.write(fileOf(target, bad), randomBlob(LAYER_BYTES).bytes)

  const verified = await runCay(['backup', target, '--verify'])
  expect(verified.code).toBe(1)
  expect(verified.errors).toContain(bad.digest)
  const result = await runCay(['restore', target, '--data', restored])
  expect(result.code).toBe(1)
  expect(result.errors).toContain(bad.digest)
  expect(existsSync(fileOf(restored, bad))).toBe(false)
  expect(existsSync(fileOf(restored, good))).toBe(true)
})

test('backup: a blob of the backup that cannot be read does not stop a restore', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await using server = await startExecutable()
  const [, good] = await pushOne(server, 'app', 'good')
  const [, bad] = await pushOne(server, 'app', 'bad')
  await runCay(['backup', target, '--data', server.data])
  await rm(fileOf(target, bad))
  await mkdir(fileOf(target, bad))
  const result = await runCay(['restore', target, '--data', restored])
  expect(result.code).toBe(1)
  expect(result.errors).toContain(bad.digest)
  expect(existsSync(fileOf(restored, good))).toBe(true)
})

test('backup: a damaged database is refused, and nothing is restored', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await using server = await startExecutable()
  await pushOne(server, 'app', 'v1')
  await runCay(['backup', target, '--data', server.data])
  const [name = ''] = await readdir(join(target, 'snapshots'))
  truncateSync(join(target, 'snapshots', name, 'cay.db'), 8192)
  const result = await runCay(['restore', target, '--data', restored])
  expect(result.code).toBe(1)
  expect(result.errors).toContain('the SHA-256 of cay.db is wrong')
  expect(existsSync(join(restored, 'cay.db'))).toBe(false)
})

test('backup: restore refuses a folder that is not empty, and a folder that is no backup', async () => {
  await using folder = await temporaryFolder('backup')
  await using server = await startExecutable()
  const none = await runCay(['restore', folder.path, '--data', join(folder.path, 'new')])
  expect(none).toMatchObject({ code: 1, errors: expect.stringContaining('is not a backup of cay') })
  const target = join(folder.path, 'target')
  await runCay(['backup', target, '--data', server.data])
  const full = await runCay(['restore', target, '--data', server.data])
  expect(full).toMatchObject({ code: 1, errors: expect.stringContaining('is not empty') })
  await mkdir(join(folder.path, 'nothing'))
  const empty = await runCay(['backup', target, '--data', join(folder.path, 'nothing')])
  expect(empty).toMatchObject({ code: 3, errors: expect.stringContaining('has no registry') })
})

test('backup: an interrupted backup and an interrupted restore continue', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await using server = await startExecutable()
  const [image, layer] = await pushOne(server, 'app', 'v1')
  await mkdir(join(target, 'snapshots', '.new-20200101T000000Z'), { recursive: true })
  expect(await runCay(['backup', target, '--data', server.data])).toMatchObject({ code: 0 })
  expect((await readdir(join(target, 'snapshots'))).filter((name) => name.startsWith('.'))).toEqual([])

  await Bun.write(join(restored, 'restoring'), 'part')
  await Bun.write(fileOf(restored, layer), randomBlob(LAYER_BYTES).bytes)
  const refused = await runCay(['serve', '--data', restored, '--listen', '127.0.0.1:0'])
  expect(refused).toMatchObject({ code: 1, errors: expect.stringContaining('has no database') })
  await rm(join(restored, 'lock'))
  expect(await runCay(['restore', target, '--data', restored])).toMatchObject({ code: 0 })
  await using copy = await startExecutable({ data: restored })
  expect(await bytesAt(copy, '/v2/app/manifests/v1')).toEqual(image.bytes)
})

test('backup: a restore that was interrupted after its last file continues, in one folder or in two', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, data, metadata] = ['target', 'data', 'metadata'].map((name) => join(folder.path, name))
  await using server = await startExecutable()
  const [image] = await pushOne(server, 'app', 'v1')
  await runCay(['backup', target ?? '', '--data', server.data])
  const restore = ['restore', target ?? '', '--data', data ?? '', '--metadata', metadata ?? '']
  for (let times = 0; times < 2; times++) {
    expect(await runCay(restore)).toMatchObject({ code: 0 })
    await Bun.write(join(data ?? '', 'restoring'), 'part')
  }
  const one = join(folder.path, 'one')
  // The very first write of a restore failed.
  await Bun.write(join(one, 'restoring.new'), '')
  for (let times = 0; times < 2; times++) {
    expect(await runCay(['restore', target ?? '', '--data', one])).toMatchObject({ code: 0 })
    await Bun.write(join(one, 'restoring'), 'part')
  }
  {
    await using copy = await startExecutable({ data: one })
    expect(await bytesAt(copy, '/v2/app/manifests/v1')).toEqual(image.bytes)
  }
  const used = await runCay(['restore', target ?? '', '--data', one])
  expect(used).toMatchObject({ code: 1, errors: expect.stringContaining('is not empty') })
})

test('backup: a snapshot without its description hides no other one', async () => {
  await using folder = await temporaryFolder('backup')
  const target = join(folder.path, 'target')
  await using server = await startExecutable()
  await pushOne(server, 'app', 'v1')
  await runCay(['backup', target, '--data', server.data])
  await mkdir(join(target, 'snapshots', '20200101T000000Z'))
  expect(await runCay(['backup', target, '--list'])).toMatchObject({ code: 0 })
  expect(await runCay(['backup', target, '--data', server.data, '--keep', '1'])).toMatchObject({ code: 0 })
  expect(await runCay(['restore', target, '--data', join(folder.path, 'new')])).toMatchObject({ code: 0 })
})

test('backup: the data folder cannot be its own backup', async () => {
  await using folder = await temporaryFolder('backup')
  const data = folder.path
  {
    await using server = await startExecutable({ data })
    await pushOne(server, 'app', 'v1')
  }
  const result = await runCay(['backup', data, '--data', data])
  expect(result).toMatchObject({ code: 1, errors: expect.stringContaining('choose another one') })
  expect(existsSync(join(data, 'snapshots'))).toBe(false)
})

test('backup: a blob that --verify finds damaged is copied again by the next backup', async () => {
  await using folder = await temporaryFolder('backup')
  const target = join(folder.path, 'target')
  await using server = await startExecutable()
  const [, layer] = await pushOne(server, 'app', 'v1')
  await runCay(['backup', target, '--data', server.data])
  await rm(fileOf(target, layer))
  await Bun.write(fileOf(target, layer), randomBlob(LAYER_BYTES).bytes)
  expect(await runCay(['backup', target, '--verify'])).toMatchObject({ code: 1 })
  const again = await runCay(['backup', target, '--data', server.data])
  expect(again).toMatchObject({ code: 0, output: expect.stringContaining('copied 1 new blob') })
  expect(await runCay(['backup', target, '--verify'])).toMatchObject({ code: 0 })
})

test('backup: cached content is left out unless --with-cache is given', async () => {
  await using folder = await temporaryFolder('backup')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await using cache = await startCache({ start: startExecutable })
  const {
    manifest: image,
    layers: [layer = EMPTY],
  } = cache.fake.putImage('library/app', '1', [LAYER_BYTES])
  expect((await cache.get('manifests/1')).status).toBe(200)
  expect(await (await cache.get(`blobs/${layer.digest}`)).bytes()).toEqual(layer.bytes)
  await pushOne(cache.server, 'own', 'v1')

  const made = await runCay(['backup', target, '--data', cache.server.data])
  expect(made).toMatchObject({ code: 0 })
  expect(made.output).toContain('1 repository, 1 tag, 1 manifest')
  const all = await runCay(['backup', target, '--data', cache.server.data, '--with-cache'])
  expect(all.output).toContain('2 repositories, 2 tags, 2 manifests')
  expect(await runCay(['restore', target, '--data', restored])).toMatchObject({ code: 0 })
  await cache.fake[Symbol.asyncDispose]()
  await using copy = await startExecutable({ data: restored })
  expect(await bytesAt(copy, '/v2/up.example/library/app/manifests/1')).toEqual(image.bytes)
})

test('backup: the server backs up to backup.folder when the newest snapshot is too old', async () => {
  await using folder = await temporaryFolder('backup')
  const target = join(folder.path, 'target')
  await using server = await startExecutable({ settings: { 'backup.folder': target } })
  const find = async () => {
    const { items } = (await (await server.fetch('/api/v1/jobs')).json()) as {
      items: Record<string, unknown>[]
    }
    return items.find(({ kind }) => kind === 'backup')
  }
  await until(async () => (await find())?.endedAt !== undefined)
  expect(await find()).toMatchObject({ startedBy: 'system', state: 'done', result: { missing: 0 } })
  const listed = await runCay(['backup', target, '--list'])
  expect(listed.output.trim().split('\n')).toHaveLength(1)
})
