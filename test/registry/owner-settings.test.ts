import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest, parseRepositoryName, parseTag, referrersTag } from '../../src/oci/reference.ts'
import { Clock } from '../support/clock.ts'
import { descriptor, EMPTY, imageIndex, imageManifest, OCI_INDEX, OCI_MANIFEST } from '../support/content.ts'
import { expectStatus, pushImage, pushManifest, putManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { AT, CALLER, withMetadata } from '../support/writes.ts'

const [one, two] = ['1', '2'].map((n) => imageManifest(EMPTY, [], { annotations: { n } })) as [
  typeof EMPTY,
  typeof EMPTY,
]
const SECOND = 1000

const write = (repository: string) => ({
  caller: CALLER,
  at: AT,
  repository: parseRepositoryName(repository),
})
const tagWrite = (repository: string, tag: string) => ({ ...write(repository), tag: parseTag(tag) })

describe('expiring tags: an expired tag', () => {
  const clock = new Clock(AT)
  const referrer = imageManifest(EMPTY, [], { annotations: { is: 'a signature without a subject' } })
  const list = imageIndex([descriptor(referrer, OCI_MANIFEST)])
  const listTag = referrersTag(parseDigest(one.digest))
  const resources = new AsyncDisposableStack()
  let folder: TemporaryFolder
  let server: TestServer

  beforeAll(async () => {
    folder = resources.use(await temporaryFolder('ends'))
    await using before = await startInProcess({ data: folder.path, now: clock.now })
    await pushImage(before, 'app', one, [], { reference: 'ends' })
    await pushManifest(before, 'app', one, { reference: 'stays' })
    await pushManifest(before, 'app', referrer)
    await pushManifest(before, 'app', list, { reference: listTag, type: OCI_INDEX })
    await before.stop()
    await withMetadata(folder.path, async (metadata) => {
      for (const tag of ['ends', listTag])
        await metadata.write('expireTag', { ...tagWrite('app', tag), expiresAt: AT + 60 * SECOND })
    })
    server = resources.use(await startInProcess({ data: folder.path, now: clock.now }))
  })
  afterAll(() => resources.disposeAsync())
  const status = async (reference: string, method = 'GET') =>
    (await server.fetch(`/v2/app/manifests/${reference}`, { method })).status
  const json = async (path: string) => (await (await server.fetch(path)).json()) as { manifests: unknown[] }

  test('exists until then, and afterwards no client sees it, without a job', async () => {
    for (const method of ['GET', 'HEAD', 'GET']) expect(await status('ends', method)).toBe(200)
    expect(await json('/v2/app/tags/list')).toMatchObject({ tags: ['ends', listTag, 'stays'].sort() })
    expect((await json(`/v2/app/referrers/${one.digest}`)).manifests).toHaveLength(1)
    clock.advance(60)
    for (const method of ['GET', 'HEAD', 'GET']) expect(await status('ends', method)).toBe(404)
    expect(await status('stays')).toBe(200)
    expect(await status(one.digest)).toBe(200)
    expect(await json('/v2/app/tags/list')).toMatchObject({ tags: ['stays'] })
    expect((await json(`/v2/app/referrers/${one.digest}`)).manifests).toEqual([])
    expect(await status('ends', 'DELETE')).toBe(404)
  })

  test('can be pushed again like a new tag, without an expiry', async () => {
    const headers = { 'if-none-match': '*' }
    await expectStatus(await putManifest(server, 'app', one, { reference: 'ends', headers }), 201)
    clock.advance(3600)
    expect(await status('ends')).toBe(200)
  })
})

test('expiring tags: a push removes the expiry, also a push of the same manifest', async () => {
  const clock = new Clock(AT)
  await using folder = await temporaryFolder('ends')
  await using server = await startInProcess({ data: folder.path, now: clock.now })
  await pushImage(server, 'app', one, [], { reference: 'a' })
  await server.stop()
  await withMetadata(folder.path, async (metadata) => {
    const expiresAt = async () =>
      (await metadata.tags.find(parseRepositoryName('app'), parseTag('a'), AT))?.expiresAt
    expect(await expiresAt()).toBeNull()
    await metadata.write('expireTag', { ...tagWrite('app', 'a'), expiresAt: AT + SECOND })
    expect(await expiresAt()).toBe(AT + SECOND)
  })
  await using again = await startInProcess({ data: folder.path, now: clock.now })
  await pushManifest(again, 'app', one, { reference: 'a' })
  clock.advance(60)
  expect((await again.fetch('/v2/app/manifests/a')).status).toBe(200)
})

test('immutable tags: a push cannot make one expire', async () => {
  const clock = new Clock(AT)
  const brief = imageManifest(EMPTY, [], { annotations: { 'quay.expires-after': '1m' } })
  await using server = await startInProcess({ now: clock.now })
  await pushImage(server, 'fixed', brief, [], { reference: 'v1' })
  const change = async (path: string, method: string, body: object) =>
    await expectStatus(
      await server.fetch(`/api/v1/repositories/fixed${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
      200,
    )
  await change('/tags/v1', 'PATCH', { expiresAt: null })
  await change('', 'PATCH', { immutableTags: ['*'] })
  await pushManifest(server, 'fixed', brief, { reference: 'v1' })
  clock.advance(3600)
  expect((await server.fetch('/v2/fixed/manifests/v1')).status).toBe(200)
})

test('immutable tags: one can be created and pushed again unchanged, but not moved or deleted', async () => {
  await using folder = await temporaryFolder('immutable')
  await withMetadata(folder.path, (metadata) =>
    metadata.write('putRepository', { ...write('fixed'), immutableTags: true }),
  )
  await using server = await startInProcess({ data: folder.path })
  await pushImage(server, 'fixed', one, [], { reference: 'v1' })
  await pushManifest(server, 'fixed', one, { reference: 'v1' })
  const remove = (reference: string) => server.fetch(`/v2/fixed/manifests/${reference}`, { method: 'DELETE' })
  for (const refused of [
    await putManifest(server, 'fixed', two, { reference: 'v1' }),
    await server.fetch(`/v2/fixed/manifests/${two.digest}?tag=v2&tag=v1`, { method: 'PUT', body: two.bytes }),
    await remove('v1'),
    await remove(one.digest),
  ]) {
    expect(refused.status).toBe(409)
    expect(await refused.json()).toMatchObject({
      errors: [{ code: 'DENIED', message: expect.stringContaining(`"v1" is at ${one.digest}`) }],
    })
  }
  expect(await (await server.fetch('/v2/fixed/tags/list')).json()).toMatchObject({ tags: ['v1'] })
  await pushManifest(server, 'fixed', two, { reference: 'v2' })
  expect((await server.fetch('/v2/fixed/manifests/v1')).headers.get('etag')).toBe(`"${one.digest}"`)
})

test('immutable tags: by pattern, a refusal names the tag and the pattern, and other tags stay mutable', async () => {
  await using server = await startInProcess()
  await pushImage(server, 'some', one, [], { reference: 'v1' })
  await pushManifest(server, 'some', one, { reference: 'latest' })
  const set = (immutableTags: string[]) =>
    server.fetch('/api/v1/repositories/some', {
      method: 'PATCH',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ immutableTags }),
    })
  await expectStatus(await set(['(a+)+']), 400)
  await expectStatus(await set(['v[0-9]*', 'release-*']), 200)
  await pushManifest(server, 'some', one, { reference: 'v1' })
  await pushManifest(server, 'some', two, { reference: 'latest' })
  await pushManifest(server, 'some', one, { reference: 'latest' })
  for (const refused of [
    await putManifest(server, 'some', two, { reference: 'v1' }),
    await server.fetch('/v2/some/manifests/v1', { method: 'DELETE' }),
    await server.fetch(`/v2/some/manifests/${one.digest}`, { method: 'DELETE' }),
  ]) {
    expect(refused.status).toBe(409)
    expect(await refused.json()).toMatchObject({
      errors: [
        {
          code: 'DENIED',
          message: expect.stringMatching(/^tags that match "v\[0-9\]\*" are immutable .*"v1" is at sha256:/),
        },
      ],
    })
  }
  expect(await (await server.fetch('/v2/some/tags/list')).json()).toMatchObject({ tags: ['latest', 'v1'] })
  await expectStatus(await set([]), 200)
  await pushManifest(server, 'some', two, { reference: 'v1' })
})

test('counters: pulls and pushes are counted by repository and tag, and saved when the server stops', async () => {
  const clock = new Clock(AT)
  await using folder = await temporaryFolder('usage')
  await using server = await startInProcess({ data: folder.path, now: clock.now })
  await pushImage(server, 'app', one, [], { reference: 'a' })
  await pushManifest(server, 'app', two, { reference: 'b' })
  clock.advance(60)
  const get = (reference: string, init: RequestInit = {}) =>
    server.fetch(`/v2/app/manifests/${reference}`, init)
  for (const reference of ['a', 'a', 'b', one.digest]) await expectStatus(await get(reference), 200)
  await get('a', { method: 'HEAD' })
  await get('a', { headers: { 'if-none-match': `"${one.digest}"` } })
  await get('none')
  await server.stop()
  await withMetadata(folder.path, async ({ catalog, tags }) => {
    const name = parseRepositoryName('app')
    expect(await catalog.findRepository(name)).toMatchObject({
      pulls: 4,
      pushes: 2,
      lastPulledAt: clock.time,
      lastPushedAt: AT,
    })
    const counted = await tags.search(name, { sort: 'name', order: 'asc' }, 10, clock.time)
    expect(counted).toMatchObject([
      { name: 'a', pulls: 2, lastPulledAt: clock.time },
      { name: 'b', pulls: 1, lastPulledAt: clock.time },
    ])
  })
})
