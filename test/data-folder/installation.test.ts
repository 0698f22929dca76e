import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readFileSync, symlinkSync } from 'node:fs'
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { pushBlob } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

let folder: TemporaryFolder
beforeEach(async () => {
  folder = await temporaryFolder('installation')
})
afterEach(() => folder[Symbol.asyncDispose]())

const at = (name: string) => join(folder.path, name)
const start = (data: string, metadata?: string) =>
  startInProcess({ data: at(data), ...(metadata && { settings: { metadata: at(metadata) } }) })
const refusal = async (data: string, metadata?: string) =>
  (await failureOf(start(data, metadata))).message.replaceAll(`${folder.path}/`, '')

const blob = randomBlob(200_000)

/** Returns an installation with a blob. */
async function install(data: string, metadata?: string): Promise<string> {
  await using server = await start(data, metadata)
  await pushBlob(server, 'a', blob)
  return readFileSync(join(server.data, 'installation'), 'utf8').trim()
}

/** Removes the ids, as in an installation of an earlier version. */
async function forgetIds(data: string, metadata: string): Promise<void> {
  await rm(at(`${data}/installation`))
  using database = new Database(at(`${metadata}/cay.db`))
  database.run("delete from installation where name = 'installation'")
  database.run('pragma wal_checkpoint(truncate)')
}

async function expectBlob(data: string, metadata?: string): Promise<void> {
  await using server = await start(data, metadata)
  const response = await server.fetch(`/v2/a/blobs/${blob.digest}`)
  expect(Buffer.from(await response.arrayBuffer()).equals(blob.bytes)).toBe(true)
}

describe('an installation', () => {
  test('keeps its id across restarts, with one folder or two', async () => {
    const id = await install('data', 'database')
    expect(id).toMatch(/^[0-9a-f-]{36}$/)
    expect(await install('data', 'database')).toBe(id)
    await expectBlob('data', 'database')
  })

  test('started without its --metadata is refused, and no empty database is created', async () => {
    const id = await install('data', 'database')
    expect(await refusal('data')).toBe(
      'data has no database, but data holds the blobs of one: pass the folder of its database with --metadata, or ' +
        'restore cay.db from a backup; to start with an empty registry, choose another folder with --data, or move ' +
        'data/blobs and data/installation away',
    )
    expect(await Bun.file(at('data/cay.db')).exists()).toBe(false)
    expect(await install('data', 'database')).toBe(id)
  })

  test('of an earlier version without ids is also refused when started without its --metadata', async () => {
    await install('data', 'database')
    await forgetIds('data', 'database')
    expect(await refusal('data')).toStartWith('data has no database, but data holds the blobs of one: ')
    expect(await refusal('data', 'another')).toStartWith('another has no database, but data holds ')
  })

  test('with an additional empty database, as an earlier version could create, is refused', async () => {
    await install('data', 'database')
    await (await start('other')).stop()
    await forgetIds('other', 'other')
    await copyFile(at('other/cay.db'), at('data/cay.db'))
    expect(await refusal('data')).toStartWith(
      'the database in data is empty, but data holds the blobs of one: ',
    )
  })

  test('of an earlier version gets an id, and its blobs are served', async () => {
    await install('data', 'database')
    await forgetIds('data', 'database')
    await expectBlob('data', 'database')
    expect(await refusal('data')).toStartWith('data has no database')
  })

  test('with the database of another installation is refused, naming both ids', async () => {
    const [one, two] = [await install('data', 'database'), await install('data2', 'database2')]
    expect(await refusal('data', 'database2')).toBe(
      `the data folder data belongs to installation ${one}, but the database in database2 belongs to ${two}: ` +
        'pass two folders of the same installation with --data and --metadata',
    )
    await expectBlob('data', 'database')
  })

  test('with a new data folder for a database with blobs is refused, unless its installation file is put back', async () => {
    const id = await install('data', 'database')
    expect(await refusal('new', 'database')).toMatch(
      new RegExp(
        `^the database in database belongs to installation ${id}, but the data folder new does not: .*`,
      ),
    )
    await Bun.write(at('new/installation'), `${id}\n`)
    await (await start('new', 'database')).stop()
  })

  test('starts after its first start was killed before both ids were written', async () => {
    await (await start('data', 'database')).stop()
    const kept = readFileSync(at('data/installation'), 'utf8')
    await forgetIds('data', 'database')
    await Bun.write(at('data/installation'), kept)
    await (await start('data', 'database')).stop()
    expect(readFileSync(at('data/installation'), 'utf8')).toBe(kept)
  })

  test('locks both of its folders', async () => {
    await using _ = await start('data', 'database')
    expect(await refusal('data')).toBe(
      'another cay serves data: stop it, or choose another folder with --data',
    )
    expect(await refusal('new', 'database')).toBe(
      'another cay serves database: stop it, or choose another folder with --metadata',
    )
  })

  test('has one lock when its two settings name the same folder in two ways', async () => {
    await (await start('data')).stop()
    symlinkSync(at('data'), at('link'))
    await (await start('data', 'link')).stop()
  })
})
