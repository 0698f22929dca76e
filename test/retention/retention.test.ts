import { afterAll, beforeAll, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  named,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { expectStatus, pushImage, pushManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { CALLER, withMetadata } from '../support/writes.ts'

const DAY = 86_400_000
const START = Date.UTC(2026, 10, 1)

let clock = START
let server: TestServer
beforeAll(async () => {
  server = await startInProcess({ now: () => clock })
})
afterAll(() => server.stop())

async function ask<T = Record<string, unknown>>(
  method: string,
  path: string,
  body?: object,
  status = 200,
): Promise<T> {
  const response = await server.fetch(`/api/v1${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  expect([path, response.status]).toEqual([path, status])
  return (status === 204 ? undefined : await response.json()) as T
}

async function push(repository: string, reference: string): Promise<string> {
  const manifest = imageManifest(EMPTY, [], { annotations: { reference } })
  await pushImage(server, repository, manifest, [], { reference })
  return manifest.digest
}

async function tagsOf(repository: string): Promise<string[]> {
  const response = await server.fetch(`/v2/${repository}/tags/list`)
  return ((await response.json()) as { tags: string[] }).tags
}

/** Applies the policies; returns the job's counts. */
async function run(): Promise<Record<string, number>> {
  const { id } = await ask('POST', '/jobs', { kind: 'retain' }, 201)
  await (await server.fetch(`/api/v1/jobs/${id}/events`)).text()
  const job = await ask<{ result: Record<string, number> }>('GET', `/jobs/${id}`)
  return job.result
}

interface Tested {
  items: { tag: string; expires: boolean; reason: string }[]
  nextCursor?: string
}

test('retention: a policy is tested before it is set, its run is explained in the history, and can be undone', async () => {
  for (const tag of ['pr-1', 'pr-2', 'pr-3', 'main']) {
    await push('ci/app', tag)
    clock += DAY
  }
  const settings = 'policy=ci&repositories=ci/**&tags=pr-*&newest=1'
  const tested = await ask<Tested>('GET', `/retention/test?${settings}`)
  expect(tested.items.map(({ tag, expires, reason }) => [tag, expires, reason])).toEqual([
    ['main', false, 'no policy covers it'],
    ['pr-1', true, 'not one of the newest 1 by push time'],
    ['pr-2', true, 'not one of the newest 1 by push time'],
    ['pr-3', false, 'one of the newest 1 by push time'],
  ])
  const paged = await ask<Tested>('GET', `/retention/test?${settings}&expiring=true&limit=1`)
  const rest = await ask<Tested>(
    'GET',
    `/retention/test?${settings}&expiring=true&cursor=${paged.nextCursor}`,
  )
  expect([...paged.items, ...rest.items].map(({ tag }) => tag)).toEqual(['pr-1', 'pr-2'])
  expect(await run()).toMatchObject({ tags: 0 })
  await ask('PUT', '/retention/policies/ci', { repositories: ['ci/**'], tags: ['pr-*'], newest: 1 }, 201)
  expect(await run()).toEqual({ tags: 2, manifests: 0, repositories: 1 })
  expect(await run()).toEqual({ tags: 0, manifests: 0, repositories: 0 })
  expect(await tagsOf('ci/app')).toEqual(['main', 'pr-3'])
  const { items } = await ask<{ items: object[] }>('GET', '/repositories/ci%2Fapp/tags/pr-1/history')
  expect(items[0]).toMatchObject({
    type: 'retention.expire',
    reason: 'policy ci: not one of the newest 1 by push time',
  })
  const { digest } = await ask('POST', '/repositories/ci%2Fapp/tags/pr-1/restore', {
    at: new Date(clock - DAY / 2).toISOString(),
  })
  expect(digest).toBeString()
  // A restored tag counts as pushed now.
  expect(await run()).toMatchObject({ tags: 1 })
  expect(await tagsOf('ci/app')).toEqual(['main', 'pr-1'])
  await ask('DELETE', '/retention/policies/ci', undefined, 204)
})

test('retention: a repository is looked at again when a tag is pushed, or is old enough', async () => {
  await ask(
    'PUT',
    '/retention/policies/days',
    { repositories: ['days/*'], pushedDays: 3, untaggedDays: 2 },
    201,
  )
  await push('days/app', 'a')
  await push('days/app', imageManifest(EMPTY, [], { annotations: { reference: 'x' } }).digest).catch(() => '')
  expect(await run()).toMatchObject({ repositories: 1, tags: 0 })
  expect(await run()).toMatchObject({ repositories: 0 })
  clock += 3 * DAY
  expect(await run()).toMatchObject({ repositories: 1, tags: 1 })
  await push('days/app', 'b')
  expect(await run()).toMatchObject({ repositories: 1, tags: 0 })
  const untagged = imageManifest(EMPTY, [named('layer')])
  await pushImage(server, 'days/app', untagged, [named('layer')])
  expect(await run()).toMatchObject({ manifests: 0 })
  clock += 2 * DAY
  expect(await run()).toMatchObject({ manifests: 1 })
  const { items } = await ask<{ items: object[] }>('GET', '/gc/candidates')
  expect(items).toContainEqual(
    expect.objectContaining({
      digest: untagged.digest,
      reason: 'unreferenced',
      since: new Date(clock).toISOString(),
    }),
  )
  const longest = { repositories: ['days/*'], untaggedDays: 5 }
  await ask('PUT', '/retention/policies/longer', longest, 201)
  const kept = imageManifest(EMPTY, [], { annotations: { kept: 'longer' } })
  await pushImage(server, 'days/app', kept, [])
  expect(await run()).toMatchObject({ manifests: 0 })
  clock += 3 * DAY
  expect(await run()).toMatchObject({ manifests: 0 })
  clock += 2 * DAY
  expect(await run()).toMatchObject({ manifests: 1 })
  await ask('DELETE', '/retention/policies/longer', undefined, 204)
  await ask('DELETE', '/retention/policies/days', undefined, 204)
})

test('retention: a repository is looked at again when it is no longer immutable, and after restores', async () => {
  await ask('PUT', '/retention/policies/again', { repositories: ['again/*'], newest: 1 }, 201)
  const repository = '/repositories/again%2Fapp'
  const pushNow = async (tag: string) => {
    clock += 1000
    return await push('again/app', tag)
  }
  await pushNow('a')
  await ask('PATCH', repository, { immutableTags: ['*'] })
  await pushNow('b')
  expect(await run()).toMatchObject({ repositories: 1, tags: 0 })
  await ask('PATCH', repository, { immutableTags: [] })
  expect(await run()).toMatchObject({ repositories: 1, tags: 1 })

  const digest = await pushNow('c')
  expect(await run()).toMatchObject({ tags: 1 })
  await expectStatus(await server.fetch(`/v2/again/app/manifests/${digest}`, { method: 'DELETE' }), 202)
  await pushNow('d')
  expect(await run()).toMatchObject({ tags: 0 })
  clock += 1000
  await ask('POST', `${repository}/manifests/${digest}/restore`, {})
  expect(await run()).toMatchObject({ repositories: 1, tags: 1 })
  expect(await tagsOf('again/app')).toEqual(['c'])

  await pushNow('e')
  await ask('DELETE', repository, undefined, 204)
  expect(await run()).toMatchObject({ tags: 0 })
  await ask('POST', `${repository}/restore`, {})
  expect(await run()).toMatchObject({ repositories: 1, tags: 1 })

  const before = new Date(clock).toISOString()
  await pushNow('f')
  expect(await run()).toMatchObject({ tags: 1 })
  clock += 1000
  await ask('POST', `${repository}/rewind`, { at: before })
  expect(await run()).toMatchObject({ repositories: 1, tags: 0 })
  expect(await tagsOf('again/app')).toEqual(['e'])
  await ask('DELETE', '/retention/policies/again', undefined, 204)
})

test('retention: a pull by digest and a HEAD count as uses', async () => {
  const policy = { repositories: ['used/**'], pulledDays: 3 }
  await ask('PUT', '/retention/policies/used', policy, 201)
  const image = imageManifest(EMPTY, [], { annotations: { reference: 'platform' } })
  const index = imageIndex([descriptor(image, OCI_MANIFEST)])
  const digest = await push('used/app', 'by-digest')
  await push('used/app', 'by-head')
  await push('used/app', 'unused')
  await pushImage(server, 'used/app', image, [])
  await pushManifest(server, 'used/app', index, { reference: 'by-platform', type: OCI_INDEX })
  for (let day = 0; day < 4; day++) {
    for (const [method, reference] of [
      ['GET', digest],
      ['GET', image.digest],
      ['HEAD', 'by-head'],
    ] as const) {
      await expectStatus(await server.fetch(`/v2/used/app/manifests/${reference}`, { method }), 200)
    }
    await run()
    clock += DAY
  }
  expect(await tagsOf('used/app')).toEqual(['by-digest', 'by-head', 'by-platform'])
  const head = await ask('GET', '/repositories/used%2Fapp/tags/by-head')
  expect(head).toMatchObject({ pullCount: 0, lastPulledAt: new Date(clock - DAY).toISOString() })
  clock += 3 * DAY
  await run()
  expect(await tagsOf('used/app')).toEqual([])
  await ask('DELETE', '/retention/policies/used', undefined, 204)
})

test('retention: bad policies are refused with a reason, and changes are recorded and conditional', async () => {
  const put = (body: object) => ask<{ detail: string }>('PUT', '/retention/policies/bad', body, 400)
  expect((await put({ repositories: ['**'] })).detail).toContain('keeps nothing')
  expect((await put({ repositories: ['**'], keep: ['(a+)+'] })).detail).toContain('not a pattern for tags')
  expect((await put({ repositories: ['UPPER'], newest: 1 })).detail).toContain('not a repository pattern')
  await put({ repositories: ['**'], newest: 1, unknown: 1 })
  await put({ newest: 1 })
  await ask('PUT', '/retention/policies/good', { repositories: ['**'], keep: ['*'] }, 201)
  const response = await server.fetch('/api/v1/retention/policies/good')
  expect(await response.json()).toMatchObject({
    name: 'good',
    tags: ['*'],
    order: 'pushed',
    includeImmutable: false,
  })
  const etag = response.headers.get('etag') ?? ''
  const stale = await server.fetch('/api/v1/retention/policies/good', {
    method: 'DELETE',
    headers: { 'if-match': '"0"' },
  })
  expect(stale.status).toBe(412)
  const removed = await server.fetch('/api/v1/retention/policies/good', {
    method: 'DELETE',
    headers: { 'if-match': etag },
  })
  expect(removed.status).toBe(204)
  await ask('GET', '/retention/policies/good', undefined, 404)
  const { items } = await ask<{ items: { action: string }[] }>('GET', '/audit')
  expect(items.slice(0, 2).map(({ action }) => action)).toEqual(['retention.delete', 'retention.create'])
})

test('retention: a policy that an early version stored keeps its setting for immutable tags', async () => {
  await using folder = await temporaryFolder('early-policy')
  const settings = JSON.stringify({ repositories: ['ci/**'], newest: 10, immutable: true })
  await withMetadata(folder.path, (metadata) =>
    metadata.write('putPolicy', { caller: CALLER, at: START, name: 'early', settings }),
  )
  await using own = await startInProcess({ data: folder.path })
  const response = await own.fetch('/api/v1/retention/policies/early')
  expect(await response.json()).toMatchObject({ name: 'early', includeImmutable: true })
})
