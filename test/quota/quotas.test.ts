import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { expectStatus, pushBlob, pushImage, putManifest, startUpload } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const KiB = 1024
const MiB = 1024 * KiB

let clock = Date.UTC(2026, 10, 1)
let server: TestServer
beforeAll(async () => {
  server = await startInProcess({ now: () => clock, settings: { 'gc.grace-seconds': '1' } })
})
afterAll(() => server.stop())

interface Quota {
  namespace: string
  bytes: number
  repositoryCount: number
  tagCount: number
  usedPercent: number
}

async function ask<T = Quota>(method: string, path: string, body?: object): Promise<T> {
  const response = await server.fetch(`/api/v1${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  expect(response.ok ? '' : await response.clone().text()).toBe('')
  return (response.status === 204 ? undefined : await response.json()) as T
}

const push = (repository: string, { digest, bytes }: Named) =>
  server.fetch(`/v2/${repository}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes })

/** Uploads in chunks without a length, and completes the upload. */
async function pushUnknown(repository: string, { digest, bytes }: Named): Promise<Response> {
  const location = await startUpload(server, repository)
  const stream = new ReadableStream({
    async start(controller) {
      for (let at = 0; at < bytes.length; at += 64 * KiB) controller.enqueue(bytes.slice(at, at + 64 * KiB))
      controller.close()
    },
  })
  const patched = await server.fetch(location, { method: 'PATCH', body: stream })
  if (patched.status !== 202) return patched
  const next = patched.headers.get('location') ?? ''
  return await server.fetch(`${next}${next.includes('?') ? '&' : '?'}digest=${digest}`, { method: 'PUT' })
}

async function denied(response: Response): Promise<string> {
  expect(response.status).toBe(403)
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] }
  expect(errors[0]?.code).toBe('DENIED')
  return errors[0]?.message ?? ''
}

/** Collects what can be collected now. */
async function collect(): Promise<void> {
  const { id } = await ask<{ id: string }>('POST', '/jobs', { kind: 'gc' })
  await (await server.fetch(`/api/v1/jobs/${id}/events`)).text()
}

/** What the namespace holds, counted anew from all rows. */
function counted(namespace: string): number {
  using db = new Database(join(server.data, 'cay.db'), { readonly: true })
  const of = "r.upstream is null and (r.name = ?1 or r.name like ?1 || '/%')"
  const row = db
    .query<{ bytes: number }, [string]>(
      `select (select coalesce(sum(size), 0) from blob where id in (select l.blob_id from repository_blob l
          join repository r on r.id = l.repository_id where ${of}))
        + (select coalesce(sum(m.size), 0) from manifest m join repository r on r.id = m.repository_id where ${of}) as bytes`,
    )
    .get(namespace)
  return row?.bytes ?? 0
}

test('quotas: bytes are refused by their length before they are read, and a namespace is charged each blob once', async () => {
  const big = randomBlob(MiB)
  await pushBlob(server, 'alice/before', big)
  await ask('PUT', '/quotas/alice', { bytesMax: 2 * MiB })
  expect(await ask('GET', '/quotas/alice')).toMatchObject({ bytes: MiB, repositoryCount: 1, usedPercent: 50 })
  await pushBlob(server, 'alice/again', big)
  const mount = `/v2/alice/mounted/blobs/uploads/?mount=${big.digest}&from=alice/before`
  await expectStatus(await server.fetch(mount, { method: 'POST' }), 201)
  expect((await ask('GET', '/quotas/alice')).bytes).toBe(MiB)
  expect(await denied(await push('alice/again', randomBlob(MiB + 1)))).toBe(
    'the quota of the namespace alice is full: 1.0 MiB of 2.0 MiB are used; delete content and free its space ' +
      'with cay repo purge REPOSITORY, or ask an admin of the server for a larger quota',
  )
  await pushBlob(server, 'bob/app', randomBlob(3 * MiB))
  await pushBlob(server, 'alice/again', randomBlob(MiB - 10 * KiB))
  const foreign = randomBlob(20 * KiB)
  await pushBlob(server, 'bob/app', foreign)
  const other = `/v2/alice/mounted/blobs/uploads/?mount=${foreign.digest}&from=bob/app`
  await denied(await server.fetch(other, { method: 'POST' }))
  const manifest = imageManifest(EMPTY, [], { annotations: { big: 'x'.repeat(20 * KiB) } })
  await pushBlob(server, 'alice/again', EMPTY)
  await denied(await putManifest(server, 'alice/again', manifest, { reference: 'v1' }))
  expect((await ask('GET', '/quotas/alice')).bytes).toBe(counted('alice'))
})

test('quotas: deleted content counts until it is collected, and then no longer', async () => {
  await ask('PUT', '/quotas/carol', { bytesMax: MiB })
  const blob = randomBlob(MiB - 10 * KiB)
  await pushImage(server, 'carol/app', imageManifest(EMPTY, [blob]), [blob], { reference: 'v1' })
  await expectStatus(await server.fetch('/api/v1/repositories/carol%2Fapp', { method: 'DELETE' }), 204)
  expect(await denied(await push('carol/new', randomBlob(100 * KiB)))).toMatch(
    /is full: 101\d\.\d KiB of 1\.0 MiB are used; 1014\.\d KiB of it is deleted or untagged; .* cay repo purge REPOSITORY,/,
  )
  expect(await ask('GET', '/quotas/carol')).toMatchObject({ repositoryCount: 0, tagCount: 0 })
  clock += 40 * 86_400_000
  // The steady clock follows after a grace period.
  for (let n = 0; n < 3; n++) {
    clock += 2000
    await collect()
  }
  expect(await ask('GET', '/quotas/carol')).toMatchObject({ bytes: 0, repositoryCount: 0, tagCount: 0 })
  await pushBlob(server, 'carol/new', randomBlob(100 * KiB))
})

test('quotas: an upload that is cancelled by an admin no longer counts', async () => {
  await ask('PUT', '/quotas/grace', { bytesMax: 2 * MiB })
  const location = await startUpload(server, 'grace/app')
  const body = randomBlob(1.5 * MiB).bytes
  await expectStatus(await server.fetch(location, { method: 'PATCH', body }), 202)
  const blob = randomBlob(MiB)
  await denied(await push('grace/app', blob))
  const { items } = await ask<{ items: { id: string; repository?: string }[] }>('GET', '/uploads')
  const abandoned = items.find(({ repository }) => repository === 'grace/app')
  await ask('DELETE', `/uploads/${abandoned?.id}`)
  await expectStatus(await push('grace/app', blob), 201)
})

test('quotas: tags and repositories are limited, what exists can be pushed again, and of all the server has a quota', async () => {
  await ask('PUT', '/quotas/*', { tagsMax: 2, repositoriesMax: 1 })
  const image = imageManifest(EMPTY, [])
  await pushImage(server, 'dave/app', image, [], { reference: 'a' })
  await pushImage(server, 'dave/app', image, [], { reference: 'b' })
  await pushImage(server, 'dave/app', image, [], { reference: 'b' })
  expect(await denied(await putManifest(server, 'dave/app', image, { reference: 'c' }))).toContain(
    'the quota of the namespace dave is full: 2 of 2 tags exist',
  )
  expect(await denied(await push('dave/other', EMPTY))).toContain('1 of 1 repositories exist')
  const { items } = await ask<{ items: Quota[] }>('GET', '/quotas')
  expect(items).toContainEqual(
    expect.objectContaining({
      namespace: 'dave',
      inherited: true,
      tagCount: 2,
      repositoryCount: 1,
      usedPercent: 100,
    }),
  )
  await ask('DELETE', '/quotas/*')
  const { bytes } = await ask('PUT', '/quotas/**', { bytesMax: 1 })
  expect(bytes).toBeGreaterThan(100 * KiB)
  expect(await denied(await push('erin/app', randomBlob(10)))).toContain('the quota of this server is full')
  await ask('DELETE', '/quotas/**')
  await pushBlob(server, 'erin/app', randomBlob(10))
})

test('quotas: restores are refused where a push would be, and a rewind that adds no tags is not', async () => {
  const images = ['x', 'y'].map((reference) => imageManifest(EMPTY, [], { annotations: { reference } }))
  const [x, y] = images as [Named, Named]
  await pushImage(server, 'gina/app', x, [], { reference: 'a' })
  await pushImage(server, 'gina/old', x, [], { reference: 'a' })
  await ask('PUT', '/quotas/gina', { tagsMax: 1, repositoriesMax: 1 })
  await ask('DELETE', '/repositories/gina%2Fold')
  clock += 1000
  const before = new Date(clock).toISOString()
  clock += 1000
  expect((await server.fetch(`/v2/gina/app/manifests/${x.digest}`, { method: 'DELETE' })).status).toBe(202)
  await pushImage(server, 'gina/app', y, [], { reference: 'b' })
  const restore = async (path: string, body: object = {}) =>
    await server.fetch(`/api/v1/repositories/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  const refused = 'the quota of the namespace gina is full: 1 of 1'
  for (const [path, body] of [
    ['gina%2Fapp/tags/a/restore', { at: before }],
    [`gina%2Fapp/manifests/${x.digest}/restore`, {}],
    ['gina%2Fold/restore', {}],
  ] as const) {
    const response = await restore(path, body)
    expect([path, response.status]).toEqual([path, 403])
    expect(await response.text()).toContain(refused)
  }
  expect((await restore('gina%2Fapp/rewind', { at: before })).status).toBe(200)
  const tags = await server.fetch('/v2/gina/app/tags/list')
  expect(await tags.json()).toMatchObject({ tags: ['a'] })
})

test('quotas: 16 concurrent pushers of known and unknown length never pass one, nor leave refused bytes behind', async () => {
  await ask('PUT', '/quotas/frank', { bytesMax: 8 * MiB })
  const statuses = await Promise.all(
    Array.from({ length: 16 }, async (_, n) => {
      const repository = `frank/app-${n % 4}`
      const blob = randomBlob(MiB + n)
      return (await (n % 2 ? pushUnknown(repository, blob) : push(repository, blob))).status
    }),
  )
  const stored = statuses.filter((status) => status === 201).length
  expect(statuses.filter((status) => status !== 201 && status !== 403)).toEqual([])
  expect(stored).toBeGreaterThan(0)
  expect(stored).toBeLessThan(8)
  const { bytes } = await ask('GET', '/quotas/frank')
  expect(bytes).toBe(counted('frank'))
  expect(bytes).toBeLessThanOrEqual(8 * MiB)
  using db = new Database(join(server.data, 'cay.db'), { readonly: true })
  const rows = db.query<{ n: number }, []>('select count(*) as n from blob where size > 65536').get()
  const files = readdirSync(join(server.data, 'blobs'), { recursive: true, encoding: 'utf8' }).filter(
    (name) => statSync(join(server.data, 'blobs', name)).isFile(),
  )
  expect(files.length).toBe(rows?.n ?? 0)
})

test('quotas: 16 concurrent pushers beside mounts, deletions, restores and rewinds pass none by more than a chunk', async () => {
  const bytesMax = 4 * MiB
  const shared = randomBlob(MiB / 2)
  await pushImage(server, 'ivan/base', imageManifest(EMPTY, [shared]), [shared], { reference: 'v1' })
  await ask('PUT', '/quotas/ivan', { bytesMax, tagsMax: 12, repositoriesMax: 6 })
  const before = new Date(clock).toISOString()
  clock += 1000
  const seen = { statuses: new Set<number>(), bytes: 0 }
  const note = ({ status }: Response) => seen.statuses.add(status)
  const post = (path: string, body: object) =>
    server.fetch(`/api/v1/repositories/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    })
  const pusher = async (n: number) => {
    const repository = `ivan/app-${n % 6}`
    for (let round = 0; round < 2; round++) {
      const layer = randomBlob(MiB / 4 + n)
      note(await (n % 2 ? pushUnknown(repository, layer) : push(repository, layer)))
      const mount = `/v2/${repository}/blobs/uploads/?mount=${shared.digest}&from=ivan/base`
      note(await server.fetch(mount, { method: 'POST' }))
      note(await push(repository, EMPTY))
      const image = imageManifest(EMPTY, [layer])
      note(await putManifest(server, repository, image, { reference: `t${n}-${round}` }))
      note(await server.fetch(`/v2/${repository}/manifests/${image.digest}`, { method: 'DELETE' }))
      const name = encodeURIComponent(repository)
      note(await post(`${name}/manifests/${image.digest}/restore`, {}))
      if (n % 4 === 0) note(await post(`${name}/rewind`, { at: before }))
    }
  }
  const work = { isOver: false }
  const watching = (async () => {
    while (!work.isOver) {
      const { bytes, repositoryCount, tagCount } = await ask('GET', '/quotas/ivan')
      expect([repositoryCount <= 6, tagCount <= 12]).toEqual([true, true])
      seen.bytes = Math.max(seen.bytes, bytes)
    }
  })()
  await Promise.all(Array.from({ length: 16 }, (_, n) => pusher(n)))
  work.isOver = true
  await watching
  expect([...seen.statuses].filter((status) => status >= 500)).toEqual([])
  expect(seen.statuses).toContain(201)
  expect(seen.statuses).toContain(403)
  expect(seen.bytes).toBeLessThanOrEqual(bytesMax)
  expect((await ask('GET', '/quotas/ivan')).bytes).toBe(counted('ivan'))
  // What is purged counts no longer at once.
  for (let n = 0; n < 6; n++)
    await server.fetch(`/api/v1/repositories/${encodeURIComponent(`ivan/app-${n}`)}`, { method: 'DELETE' })
  for (let n = 0; n < 3; n++) {
    clock += 2000
    await collect()
  }
  await expectStatus(await server.fetch('/api/v1/gc/purge', { method: 'POST' }), 200)
  await collect()
  const left = await ask('GET', '/quotas/ivan')
  expect([left.bytes, left.repositoryCount, left.tagCount]).toEqual([counted('ivan'), 1, 1])
  expect(left.bytes).toBeLessThan(MiB)
}, 120_000)
