import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../scripts/lib/temporary-folder.ts'
import { migrations } from '../src/database/migrations.ts'
import { digestOf, EMPTY, imageManifest } from './support/content.ts'
import { fixtureContent } from './support/fixture-content.ts'
import { pushManifest } from './support/push.ts'
import { runScenario } from './support/scenario.ts'
import { SERVERS, type TestServer } from './support/server.ts'
import { until } from './support/until.ts'

const fixtures = join(import.meta.dir, 'fixtures')
const names = [...new Bun.Glob('data-*/fixture.json').scanSync(fixtures)]
  .map((path) => path.split(/[\\/]/)[0] ?? '')
  .sort()
const { blobs, manifests, deleted, upload } = fixtureContent()

test('fixtures: there is a data folder of each released schema', () => expect(names).toContain('data-0001'))

for (const name of names) {
  const applied = Number(name.slice(-4))
  for (const [kind, start] of SERVERS) {
    describe(`a data folder of an older version, ${name}, ${kind}`, () => {
      const resources = new AsyncDisposableStack()
      let folder: TemporaryFolder
      let server: TestServer
      let location: string
      beforeAll(async () => {
        folder = resources.use(await temporaryFolder('fixture'))
        await cp(join(fixtures, name), folder.path, { recursive: true })
        location = (await Bun.file(join(folder.path, 'fixture.json')).json()).upload
        server = resources.use(await start({ data: folder.path }))
      }, 60_000)
      afterAll(() => resources.disposeAsync())
      const get = (path: string, more: object) =>
        runScenario(server, { name: '', path, status: 200, ...more })

      test('kept a copy of the database as it was, if it was migrated', async () => {
        const path = join(folder.path, `cay.db.before-${applied}`)
        expect(await Bun.file(path).exists()).toBe(applied < migrations.length)
        if (applied === migrations.length) return
        const copy = new Database(path, { readonly: true })
        const [row] = copy.query<{ n: number }, []>('select count(*) as n from __drizzle_migrations').all()
        expect(row?.n).toBe(applied)
        expect(copy.query('pragma integrity_check').get()).toEqual({ integrity_check: 'ok' })
        copy.close()
      })

      test('returns free pages to the file system from now on', () => {
        using database = new Database(join(folder.path, 'cay.db'), { readonly: true })
        expect(database.query('pragma auto_vacuum').get()).toEqual({ auto_vacuum: 2 })
      })

      test('serves every blob byte for byte', async () => {
        for (const { repository, digest, bytes } of blobs) {
          await get(`/v2/${repository}/blobs/${digest}`, {
            content: bytes,
            has: { 'docker-content-digest': digest },
          })
        }
      })

      test('serves every manifest byte for byte, by tag and by digest', async () => {
        const kept = manifests.filter(({ bytes }) => !deleted.some((path) => path.includes(digestOf(bytes))))
        expect(kept.length).toBe(5)
        for (const { repository, reference, type, bytes } of kept) {
          const [own = ''] = reference.split('?')
          const has = { 'content-type': type }
          await get(`/v2/${repository}/manifests/${own}`, { content: bytes, has })
          await get(`/v2/${repository}/manifests/${digestOf(bytes)}`, { content: bytes, has })
        }
        const has = { 'docker-content-digest': /^sha512:/ }
        await get('/v2/library/app/manifests/v1-sha512', { has })
      })

      test('lists its tags, repositories and referrers', async () => {
        const [, , , referrer] = manifests
        await get('/v2/library/app/tags/list', {
          content: { name: 'library/app', tags: ['latest', 'v1', 'v1-sha512'] },
        })
        await get('/v2/_catalog', { content: { repositories: ['library/app', 'other'] } })
        const path = `/v2/library/app/referrers/${digestOf(manifests[0]!.bytes)}`
        await get(path, { content: new RegExp(digestOf(referrer!.bytes)) })
      })

      test('finds the labels of what an older version stored, once they are read', async () => {
        const find = async (q: string) => {
          const response = await server.fetch(`/api/v1/search?q=${q}`)
          const { labels } = (await response.json()) as { labels: { items: Record<string, string>[] } }
          return labels.items.map(({ repository, label }) => `${repository} ${label}`)
        }
        await until(async () => (await find('a=')).length > 0)
        expect(await find('a=')).toEqual(['library/app a=b'])
        expect(await find('is=deleted')).toEqual([])
      })

      test('hides what was deleted', async () => {
        for (const path of [...deleted, '/v2/library/app/manifests/old']) await get(path, { status: 404 })
      })

      test('continues the upload in progress', async () => {
        await get(location, { status: 204, has: { range: `0-${upload.received - 1}` } })
        const response = await server.fetch(`${location}?digest=${upload.digest}`, {
          method: 'PUT',
          body: upload.bytes.subarray(upload.received),
          headers: { 'content-range': `${upload.received}-${upload.bytes.length - 1}` },
        })
        expect(response.status).toBe(201)
        await get(`/v2/${upload.repository}/blobs/${upload.digest}`, { content: upload.bytes })
      })

      test('accepts new content', async () => {
        const manifest = imageManifest(EMPTY, [upload])
        await pushManifest(server, 'library/app', manifest, { reference: 'new' })
        await get('/v2/library/app/manifests/new', { content: manifest })
      })
    })
  }
}
