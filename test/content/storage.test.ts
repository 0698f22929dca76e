import { afterAll, beforeAll, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { SETTINGS } from '../../src/config/settings.ts'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, named } from '../support/content.ts'
import { pushBlob, pushImage, startUpload } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

interface Page<T> {
  items: T[]
  nextCursor?: string
}

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  await server.addUser('alice')
  const owner = server.as(basic('admin'))
  await pushImage(owner, 'library/app', imageManifest(EMPTY, [named('layer')]), [named('layer')])
  await pushBlob(owner, 'alice/app', named('layer'))
  await pushBlob(owner, 'alice/app', named('alice'))
}, 60_000)
afterAll(() => server.stop())

test('storage: usage is shown by repository and in total', async () => {
  const repositories = [
    { repository: 'alice/app', blobCount: 2, bytes: 10, uniqueBytes: 5, sharedBytes: 5, cachedBytes: 0 },
    { repository: 'library/app', blobCount: 2, bytes: 7, uniqueBytes: 2, sharedBytes: 5, cachedBytes: 0 },
  ]
  expect(await server.admin('GET', '/storage/repositories')).toEqual({ items: repositories })
  const first = await server.admin<Page<object>>('GET', '/storage/repositories?sort=bytes&limit=1')
  // Nothing refers to the blob that only this repository has.
  expect(first.items).toEqual([{ ...repositories[0], deletedBytes: 5 }])
  expect(
    await server.admin('GET', `/storage/repositories?sort=bytes&limit=1&cursor=${first.nextCursor}`),
  ).toEqual({
    items: [{ ...repositories[1], deletedBytes: 0 }],
  })
  const { blobs, uploads, disk } = await server.admin<Record<string, Record<string, number>>>(
    'GET',
    '/storage',
  )
  expect(blobs).toEqual({ count: 3, bytes: 12 })
  expect(uploads).toEqual({ count: 0, bytes: 0 })
  expect(disk!.totalBytes!).toBeGreaterThan(disk!.freeBytes!)
})

test('blobs: one lists its repositories that the caller may pull from', async () => {
  const { digest } = named('layer')
  const all = await server.admin<Page<object>>('GET', `/blobs/${digest}`)
  expect(all).toMatchObject({ digest, bytes: 5, storedAt: expect.stringMatching(/^20.*Z$/) })
  expect(all.items).toEqual([
    { repository: 'library/app', linkedAt: expect.any(String) },
    { repository: 'alice/app', linkedAt: expect.any(String), unreferencedAt: expect.any(String) },
  ])
  const { nextCursor: next } = await server.admin<Page<object>>('GET', `/blobs/${digest}?limit=1`)
  const second = await server.admin<Page<object>>('GET', `/blobs/${digest}?limit=1&cursor=${next}`)
  expect(second.items).toEqual(all.items.slice(1))
  const hers = await server.as(basic('alice')).fetch(`/api/v1/blobs/${digest}`)
  expect(((await hers.json()) as Page<object>).items).toEqual(all.items.slice(1))
  const hidden = await server.as(basic('alice')).fetch(`/api/v1/blobs/${EMPTY.digest}`)
  const absent = await server.as(basic('alice')).fetch(`/api/v1/blobs/${named('absent').digest}`)
  expect([hidden.status, absent.status]).toEqual([404, 404])
})

test('uploads: those in progress are listed and cancelled', async () => {
  const owner = server.as(basic('admin'))
  const locations = [await startUpload(owner, 'library/app'), await startUpload(owner, 'alice/app')]
  for (const location of locations) await owner.fetch(location, { method: 'PATCH', body: 'some bytes' })
  const ids = locations.map((location) => location.split('/').at(-1)!.split('~')[0]!)
  const first = await server.admin<Page<{ id: string }>>('GET', '/uploads?limit=1')
  expect(first).toMatchObject({
    items: [{ id: ids[0], repository: 'library/app', bytes: 10 }],
    nextCursor: ids[0],
  })
  expect(await server.admin('GET', `/uploads?cursor=${ids[0]}`)).toMatchObject({ items: [{ id: ids[1] }] })
  expect(await server.admin('GET', '/storage')).toMatchObject({ uploads: { count: 2, bytes: 20 } })
  await server.admin('DELETE', `/uploads/${ids[0]}`)
  expect((await owner.fetch(locations[0]!)).status).toBe(404)
  expect((await owner.fetch(locations[1]!)).status).toBe(204)
  expect(await server.admin('GET', '/uploads')).toMatchObject({ items: [{ id: ids[1] }] })
  const { items } = await server.admin<Page<object>>('GET', '/audit?limit=1')
  expect(items).toMatchObject([{ action: 'upload.cancel', target: ids[0], account: 'admin' }])
  await server.admin('DELETE', `/uploads/${ids[1]}`)
})

test('uploads: one of an earlier process can be cancelled', async () => {
  await using folder = await temporaryFolder('uploads')
  const first = await startInProcess({ data: folder.path })
  const location = await startUpload(first, 'a')
  await first.fetch(location, { method: 'PATCH', body: 'some bytes' })
  await first.stop()
  await using again = await startInProcess({ data: folder.path })
  const { items } = (await (await again.fetch('/api/v1/uploads')).json()) as Page<{ id: string }>
  expect(items as object[]).toEqual([
    { id: items[0]!.id, bytes: 10, startedAt: expect.any(String), updatedAt: expect.any(String) },
  ])
  expect((await again.fetch(`/api/v1/uploads/${items[0]!.id}`, { method: 'DELETE' })).status).toBe(204)
  expect((await again.fetch(location)).status).toBe(404)
  expect((await again.fetch(`/api/v1/uploads/${items[0]!.id}`, { method: 'DELETE' })).status).toBe(404)
})

test('server: the version, health and settings are shown', async () => {
  const answer = await server.admin<{ settings: { name: string }[] }>('GET', '/server')
  expect(answer).toMatchObject({ ready: true, commit: 'source', version: expect.any(String) })
  expect(answer).toMatchObject({
    features: ['accounts', 'docker-v1', 'docker-schema1-push', 'docker-schema1-pull'],
  })
  expect(answer.settings.map(({ name }) => name)).toEqual(SETTINGS.map(({ path }) => path))
  expect(answer.settings as object[]).toContainEqual({
    name: 'access',
    value: 'accounts',
    description: expect.any(String),
    configuredIn: '--access',
  })
})

test.each(['/blobs/sha256:x', '/storage/repositories?sort=bytes&cursor=x', '/uploads?limit=0'])(
  '%s is 400',
  async (path) => {
    const answer = await server.as(basic('admin')).fetch(`/api/v1${path}`)
    expect(answer.status).toBe(400)
  },
)

test('digests: a prefix finds the digests of a repository that the caller may pull from', async () => {
  const { digest } = named('layer')
  const prefix = digest.slice(0, 'sha256:'.length + 12)
  const ask = async (account: string, query: string) => {
    const response = await server.as(basic(account)).fetch(`/api/v1/digests?${query}`)
    return response.ok ? ((await response.json()) as Page<string>).items : response.status
  }
  expect(await ask('admin', `prefix=${prefix}`)).toEqual([digest])
  expect(await ask('alice', `prefix=${prefix}&repository=alice/app`)).toEqual([digest])
  expect(
    await ask('alice', `prefix=${named('alice').digest.slice(0, 20)}&repository=alice/app`),
  ).toHaveLength(1)
  expect(await ask('alice', `prefix=${EMPTY.digest.slice(0, 20)}&repository=alice/app`)).toEqual([])
  expect(await ask('alice', `prefix=${prefix}&repository=library/app`)).toBe(403)
  expect(await ask('alice', `prefix=${prefix}`)).toBe(403)
  expect(await ask('admin', `prefix=${prefix}&repository=none`)).toBe(404)
  for (const wrong of ['sha256:abc', 'md5:abcdef', 'abcdef', 'sha256:xyzxyz'])
    expect(await ask('admin', `prefix=${wrong}`)).toBe(400)
})

test('storage: a deleted repository counts, by size, while its bytes do', async () => {
  const owner = server.as(basic('admin'))
  await pushImage(owner, 'library/old', imageManifest(EMPTY, [named('old layer')]), [named('old layer')])
  await server.admin('DELETE', '/repositories/library%2Fold')
  const { items } = await server.admin<Page<object>>('GET', '/storage/repositories?sort=bytes&limit=1')
  expect(items).toMatchObject([
    { repository: 'library/old', deletedAt: expect.stringMatching(/^20.*Z$/), bytes: 11, deletedBytes: 11 },
  ])
})
