import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, named } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'

interface Page<T> {
  items: T[]
  nextCursor?: string
}
type Named = { name: string }

let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
const layer = named('a layer')
const first = imageManifest(EMPTY, [layer], { annotations: { is: 'first' } })
const second = imageManifest(EMPTY, [layer], { annotations: { is: 'second' } })
const path = (name: string) => `/repositories/${encodeURIComponent(name)}`
const owner = () => server.as(basic('admin'))
const push = (repository: string, manifest = first, reference = 'latest') =>
  pushImage(owner(), repository, manifest, [layer], { reference })
const names = ({ items }: Page<Named>) => items.map(({ name }) => name)

beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock })
  await server.addUser('alice')
  await server.grant('alice', 'team/*', 'reader')
}, 60_000)
afterAll(() => server.stop())

/** Sends a request as the server admin; returns the status, the entity tag and the JSON. */
async function ask(method: string, at: string, body?: object, headers: Record<string, string> = {}) {
  const response = await owner().fetch(`/api/v1${at}`, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const json = JSON.parse((await response.text()) || 'null') as Record<string, never> & { detail: string }
  return { status: response.status, etag: response.headers.get('etag') ?? '', json }
}

describe('a list of repositories', () => {
  beforeAll(async () => {
    for (const name of ['team/a', 'team/b', 'team/c', 'other/a']) await pushBlob(owner(), name, EMPTY)
    await server.admin('PATCH', path('team/b'), { description: 'Grüße an die Welt, 世界' })
  })

  test('is paginated in the order of names', async () => {
    const pages: string[][] = []
    for (let last: string | undefined = ''; last !== undefined; ) {
      const page: Page<Named> = await server.admin('GET', `/repositories?limit=3&cursor=${last}`)
      pages.push(names(page))
      last = page.nextCursor
    }
    expect(pages).toEqual([['other/a', 'team/a', 'team/b'], ['team/c']])
  })

  test('has only repositories that the caller may pull from', async () => {
    const response = await server.as(basic('alice')).fetch('/api/v1/repositories')
    expect(names((await response.json()) as Page<Named>)).toEqual(['team/a', 'team/b', 'team/c'])
  })

  test.each([
    ['team', ['team/a', 'team/b', 'team/c']],
    ['/a', ['other/a', 'team/a']],
    ['grüße', ['team/b']],
    ['世界', ['team/b']],
    ['%', []],
    ['"', []],
    ['nothing of this', []],
  ])('is searched by %s', async (q, expected) => {
    expect(names(await server.admin('GET', `/repositories?q=${encodeURIComponent(q)}`))).toEqual(expected)
  })
})

test('repositories: one is created, shown with its content, and changed', async () => {
  expect((await ask('PUT', path('made/here'), { description: 'mine', immutableTags: ['*'] })).status).toBe(
    201,
  )
  expect((await ask('PUT', path('made/here'), { description: 'mine', immutableTags: ['*'] })).status).toBe(
    200,
  )
  await push('made/here')
  const { json } = await ask('GET', path('made/here'))
  expect(json).toEqual({
    name: 'made/here',
    description: 'mine',
    immutableTags: ['*'],
    createdAt: new Date(clock).toISOString(),
    blobCount: 2,
    bytes: 9,
    uniqueBytes: 7,
    pullCount: 0,
    pushCount: expect.any(Number),
    tagCount: 1,
    manifestCount: 1,
    manifestBytes: first.bytes.length,
  } as never)
  await server.admin('PATCH', path('made/here'), { immutableTags: ['v*', '*'] })
  expect((await ask('GET', path('made/here'))).json).toMatchObject({ immutableTags: ['*', 'v*'] })
  await server.admin('PATCH', path('made/here'), { untaggedDays: 3, immutableTags: [] })
  expect((await ask('GET', path('made/here'))).json).toMatchObject({ untaggedDays: 3, description: 'mine' })
  await server.admin('PATCH', path('made/here'), { untaggedDays: null })
  expect(Object.keys((await ask('GET', path('made/here'))).json)).not.toContain('untaggedDays')
})

test('repositories: a change checks its precondition, which pulls and pushes do not affect', async () => {
  await push('conditional/app')
  const { etag } = await ask('GET', path('conditional/app'))
  await push('conditional/app', second)
  const change = { description: 'new' }
  const stale = { 'if-match': '"other"' }
  expect((await ask('PATCH', path('conditional/app'), change, stale)).status).toBe(412)
  expect((await ask('PUT', path('conditional/app'), {}, { 'if-none-match': '*' })).status).toBe(412)
  expect((await ask('PATCH', path('conditional/app'), change, { 'if-match': etag })).status).toBe(200)
  expect((await ask('DELETE', path('conditional/app'), undefined, { 'if-match': etag })).status).toBe(412)
  const { etag: newer } = await ask('GET', path('conditional/app'))
  expect((await ask('DELETE', path('conditional/app'), undefined, { 'if-match': newer })).status).toBe(204)
})

test('repositories: a deleted one is hidden everywhere, and is restored byte for byte', async () => {
  await push('back/app')
  await push('back/app', second, 'v2')
  const raw = async (tag: string) =>
    await (await owner().fetch(`/api/v1${path('back/app')}/manifests/${tag}/raw`)).bytes()
  const blob = async () => await (await owner().fetch(`/v2/back/app/blobs/${layer.digest}`)).bytes()
  const before = [await raw('latest'), await raw('v2'), await blob()]
  clock += 1000
  const deletedAt = new Date(clock).toISOString()
  expect((await ask('DELETE', path('back/app'))).status).toBe(204)
  expect((await ask('GET', path('back/app'))).status).toBe(404)
  expect((await owner().fetch('/v2/back/app/tags/list')).status).toBe(404)
  const { items } = await server.admin<Page<object>>('GET', '/repositories?deleted=true&limit=1')
  const restorableUntil = new Date(clock + 14 * 86_400_000).toISOString()
  expect(items).toMatchObject([{ name: 'back/app', tagCount: 2, deletedAt, restorableUntil }])
  clock += 1000
  await push('back/app', second)
  expect((await ask('POST', `${path('back/app')}/restore`, {})).status).toBe(409)
  await server.admin('DELETE', path('back/app'))
  expect((await ask('POST', `${path('back/app')}/restore`, { deletedAt })).status).toBe(200)
  expect([await raw('latest'), await raw('v2'), await blob()]).toEqual(before)
  expect((await ask('POST', `${path('never/was')}/restore`, {})).status).toBe(404)
})

test('repositories: a rewind moves all tags back, and the history shows it', async () => {
  await push('time/app')
  clock += 60_000
  const at = new Date(clock).toISOString()
  clock += 60_000
  await push('time/app', second)
  await push('time/app', second, 'new')
  await server.admin('DELETE', `${path('time/app')}/manifests/${first.digest}`)
  const rewound = await server.admin('POST', `${path('time/app')}/rewind`, { at })
  expect(rewound).toEqual({ restoredCount: 1, deletedCount: 1, lostCount: 0 })
  const { items } = await server.admin<Page<object>>('GET', `${path('time/app')}/tags`)
  expect(items).toMatchObject([{ name: 'latest', digest: first.digest }])
  const history: Record<string, string>[] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const page: Page<Record<string, string>> = await server.admin(
      'GET',
      `${path('time/app')}/history?limit=2&cursor=${last}`,
    )
    history.push(...page.items)
    last = page.nextCursor
  }
  expect(history.map(({ tag, type }) => [tag, type])).toEqual(
    expect.arrayContaining([
      ['latest', 'manifest.push'],
      ['new', 'repository.rewind'],
    ]),
  )
  expect(history.at(-1)).toMatchObject({ tag: 'latest', digest: first.digest, restorable: false })
  expect(history).toHaveLength(5)
  expect((await ask('POST', `${path('time/app')}/rewind`, {})).status).toBe(400)
  const tomorrow = new Date(clock + 86_400_000).toISOString()
  expect((await ask('POST', `${path('time/app')}/rewind`, { at: tomorrow })).status).toBe(400)
})

test('events: changes are listed newest first, for one repository or all', async () => {
  await push('told/app')
  await server.admin('DELETE', `${path('told/app')}/tags/latest`)
  const { items } = await server.admin<Page<Record<string, string>>>(
    'GET',
    '/events?repository=told/app&limit=2',
  )
  expect(items).toMatchObject([
    { type: 'tag.delete', tag: 'latest', account: 'admin', address: '127.0.0.1' },
    { type: 'manifest.push', tag: 'latest', digest: first.digest },
  ])
  const pushes = await server.admin<Page<object>>('GET', '/events?type=manifest.push&limit=1')
  expect(pushes.items).toMatchObject([{ repository: 'told/app' }])
  const more = await server.admin<Page<object>>(
    'GET',
    `/events?type=manifest.push&limit=1&cursor=${pushes.nextCursor}`,
  )
  expect(more.items).not.toEqual(pushes.items)
  await push('team/a')
  const hers = await server.as(basic('alice')).fetch('/api/v1/events?repository=team/a&limit=1')
  const [event = {}] = ((await hers.json()) as Page<object>).items
  expect(Object.keys(event).sort()).toEqual(['account', 'at', 'digest', 'id', 'repository', 'tag', 'type'])
})

test.each([
  ['GET', '/repositories?cursor=x&deleted=true', undefined, 400],
  ['GET', '/repositories/UPPER', undefined, 400],
  ['GET', '/repositories?limit=501', undefined, 400],
  ['PUT', '/repositories/a', { untaggedDays: -1 }, 400],
  ['PATCH', '/repositories/none', { description: 'x' }, 404],
  ['GET', '/repositories/none/history', undefined, 404],
  ['GET', '/events?type=none', undefined, 400],
  ['GET', '/events?repository=UPPER', undefined, 400],
] as const)('%s %s %j is %d', async (method, at, body, status) => {
  expect((await ask(method, at, body)).status).toBe(status)
})
