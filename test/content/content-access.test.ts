import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushImage } from '../support/push.ts'

/** The principals. The token is the server admin's, with a scope for pulls from the repository. */
const WHO = [
  'anonymous',
  'no grant',
  'reader',
  'writer',
  'repository admin',
  'server admin',
  'narrowed token',
] as const

const manifest = imageManifest(EMPTY, [])
const repository = 'team/app'
const [repo, other] = ['/repositories/team%2Fapp', '/repositories/team%2Fother']
const past = new Date(Date.now() - 1000).toISOString()
const later = new Date(Date.now() + 86_400_000).toISOString()

/** The expected statuses, written by hand, in the order of WHO. */
const ACTS: [method: string, path: string, body: object | undefined, statuses: number[]][] = [
  ['GET', '/repositories', undefined, [401, 200, 200, 200, 200, 200, 200]],
  ['GET', '/repositories?deleted=true', undefined, [401, 200, 200, 200, 200, 200, 200]],
  ['GET', '/search?q=a', undefined, [401, 200, 200, 200, 200, 200, 200]],
  ['GET', repo, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', other, undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['PUT', repo, {}, [401, 403, 403, 403, 200, 200, 403]],
  ['PUT', other, {}, [401, 403, 403, 403, 403, 201, 403]],
  ['PATCH', repo, { description: 'x' }, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', `${repo}/history`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', `${repo}/pulls`, undefined, [401, 403, 403, 403, 200, 200, 403]],
  ['POST', `${repo}/rewind`, { at: past }, [401, 403, 403, 403, 200, 200, 403]],
  ['POST', `${repo}/restore`, {}, [401, 403, 403, 403, 409, 409, 403]],
  ['GET', `${repo}/purge`, undefined, [401, 403, 403, 403, 200, 200, 403]],
  ['POST', `${repo}/purge`, {}, [401, 403, 403, 403, 200, 200, 403]],
  ['DELETE', '/repositories/team%2Fgone', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['PUT', `${repo}/tags/latest`, { digest: manifest.digest }, [401, 403, 403, 201, 200, 200, 403]],
  ['GET', `${repo}/tags`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', `${repo}/tags/latest`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['PATCH', `${repo}/tags/latest`, { expiresAt: later }, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', `${repo}/tags/latest/history`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['POST', `${repo}/tags/latest/restore`, { digest: manifest.digest }, [401, 403, 403, 403, 200, 200, 403]],
  ['DELETE', `${repo}/tags/none`, undefined, [401, 403, 403, 403, 404, 404, 403]],
  ['GET', `${repo}/manifests`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', `${repo}/manifests?deleted=true`, undefined, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', `${repo}/manifests/${manifest.digest}`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', `${repo}/manifests/latest/raw`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', `${repo}/manifests/latest/referrers`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['DELETE', `${repo}/manifests/${EMPTY.digest}`, undefined, [401, 403, 403, 403, 404, 404, 403]],
  ['POST', `${repo}/manifests/${manifest.digest}/restore`, undefined, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', `${repo}/blobs/${EMPTY.digest}`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  // Whoever may pull may read. Neither the manifest nor the blob of this test has files.
  ['GET', `${repo}/layers/${EMPTY.digest}/files`, undefined, [401, 403, 405, 405, 405, 405, 405]],
  [
    'GET',
    `${repo}/layers/${EMPTY.digest}/files/content?path=a`,
    undefined,
    [401, 403, 405, 405, 405, 405, 405],
  ],
  ['GET', `${repo}/manifests/latest/files`, undefined, [401, 403, 405, 405, 405, 405, 405]],
  ['GET', `${repo}/manifests/latest/files/content?path=a`, undefined, [401, 403, 405, 405, 405, 405, 405]],
  ['GET', `${repo}/manifests/latest/files/changes?to=latest`, undefined, [401, 403, 405, 405, 405, 405, 405]],
  ['GET', '/events', undefined, [401, 400, 400, 400, 400, 200, 400]],
  ['GET', '/events?repository=team/other', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/events?repository=team/app', undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', '/events/watch?after=-1', undefined, [401, 400, 400, 400, 400, 400, 400]],
  ['GET', `/blobs/${EMPTY.digest}`, undefined, [401, 404, 200, 200, 200, 200, 200]],
  ['GET', '/uploads', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['DELETE', `/uploads/${Bun.randomUUIDv7()}`, undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/storage', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/storage/repositories', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/gc', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/gc/candidates', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/gc/totals', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/gc/purge', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['POST', '/gc/purge', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', `/gc/explain?digest=${EMPTY.digest}`, undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', `/digests?prefix=${manifest.digest.slice(0, 20)}`, undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/retention/policies', undefined, [401, 403, 403, 403, 403, 200, 403]],
  [
    'PUT',
    '/retention/policies/ci',
    { repositories: ['ci/**'], newest: 5 },
    [401, 403, 403, 403, 403, 201, 403],
  ],
  ['GET', '/retention/policies/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['DELETE', '/retention/policies/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/retention/test', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/quotas', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['PUT', '/quotas/team', { tagsMax: 1000 }, [401, 403, 403, 403, 403, 201, 403]],
  ['GET', '/quotas/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['DELETE', '/quotas/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/damage', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/jobs', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/jobs/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['POST', '/jobs/none/cancel', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/jobs/none/events', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['POST', '/jobs', { kind: 'none' }, [401, 403, 403, 403, 403, 400, 403]],
  ['GET', '/cache', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/cache/tags', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/cache/downloads', undefined, [401, 403, 403, 403, 403, 200, 403]],
  [
    'GET',
    '/cache/explain?repository=team/app&reference=latest',
    undefined,
    [401, 403, 403, 403, 403, 404, 403],
  ],
  ['POST', '/cache/refresh', { repository: 'team/app', tag: 'latest' }, [401, 403, 403, 403, 403, 404, 403]],
  [
    'POST',
    '/cache/evict',
    { repository: 'team/app', reference: 'latest' },
    [401, 403, 403, 403, 403, 404, 403],
  ],
  ['GET', '/pins', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['PUT', '/pins', { pattern: 'docker.io/**' }, [401, 403, 403, 403, 403, 201, 403]],
  ['DELETE', '/pins?pattern=none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/upstreams', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/upstreams/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['POST', '/upstreams/none/check', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['PUT', '/upstreams/up.example', { offline: true }, [401, 403, 403, 403, 403, 201, 403]],
  ['DELETE', '/upstreams/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/caller', undefined, [200, 200, 200, 200, 200, 200, 200]],
  ['GET', '/server', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/access?repository=team/app', undefined, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', '/access?repository=team/app&account=reader', undefined, [401, 403, 200, 403, 403, 200, 403]],
  ['GET', '/access?repository=team/other&account=boss', undefined, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', '/access?repository=team/other&account=reader', undefined, [401, 403, 200, 403, 403, 200, 403]],
]

/** What the repository admin's token of /token for pulls from the repository may do. */
const SCOPED: [method: string, path: string, status: number][] = [
  ['GET', '/repositories', 401],
  ['GET', '/repositories?deleted=true', 401],
  ['GET', repo, 200],
  ['GET', other, 403],
  ['DELETE', repo, 401],
  ['GET', `${repo}/manifests`, 200],
  ['GET', `${repo}/manifests?deleted=true`, 401],
  ['DELETE', `${repo}/tags/none`, 401],
  ['GET', '/events?repository=team/app', 401],
  ['GET', `/blobs/${EMPTY.digest}`, 401],
  ['GET', '/access?repository=team/app', 403],
  ['GET', '/jobs', 403],
]

let server: AccountsServer
let credentials: Record<(typeof WHO)[number], string | undefined>
/** A robot with more grants than its owner, and one whose owner is disabled. */
let [robot, orphan] = ['', '']
beforeAll(async () => {
  server = await startWithAccounts()
  for (const name of ['none', 'reader', 'writer', 'boss']) await server.addUser(name)
  await server.grant('reader', repository, 'reader')
  await server.grant('writer', repository, 'writer')
  await server.grant('boss', repository, 'admin')
  await pushImage(server.as(basic('admin')), repository, manifest, [], { reference: 'latest' })
  const scope = [{ pattern: repository, role: 'reader' }]
  credentials = {
    anonymous: undefined,
    'no grant': basic('none'),
    reader: basic('reader'),
    writer: basic('writer'),
    'repository admin': basic('boss'),
    'server admin': basic('admin'),
    'narrowed token': basic('admin', (await server.addToken('admin', { scope })).secret),
  }
  await server.addUser('gone')
  await server.grant('gone', repository, 'admin')
  for (const name of ['boss+ci', 'gone+ci']) {
    await server.admin('PUT', `/robots/${encodeURIComponent(name)}`)
    await server.grant(name, '**', 'admin')
  }
  robot = basic('boss+ci', (await server.addToken('boss+ci')).secret)
  orphan = basic('gone+ci', (await server.addToken('gone+ci')).secret)
  await server.admin('PATCH', '/users/gone', { disabled: true })
}, 60_000)
afterAll(() => server.stop())

describe.each(ACTS)('%s %s %j', (method, path, body, statuses) => {
  const expectStatus = async (credential: string | undefined, status: number) => {
    const answer = await server.as(credential).fetch(`/api/v1${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await answer.text()
    expect([answer.status, answer.status === status ? '' : text]).toEqual([status, ''])
    if (status >= 400) expect(answer.headers.get('content-type')).toBe('application/problem+json')
  }
  test.each(WHO.map((who, at) => [who, statuses[at] ?? 0] as const))('%s: %d', async (who, status) => {
    await expectStatus(credentials[who], status)
  })

  test('a robot can do no more than its owner, and nothing while the owner is disabled', async () => {
    // It may not see accounts.
    const status = path.startsWith('/access') ? 403 : statuses[WHO.indexOf('repository admin')]
    await expectStatus(robot, status ?? 0)
    await expectStatus(orphan, 401)
  })
})

test.each(SCOPED)('%s %s by a token of /token: %d', async (method, path, status) => {
  const token = bearer(await server.tokenFor(basic('boss'), `repository:${repository}:pull`))
  expect((await server.as(token).fetch(`/api/v1${path}`, { method })).status).toBe(status)
})

test('access: every operation on content has a row in this table', async () => {
  const { paths } = (await (await server.fetch('/swagger/json')).json()) as { paths: Record<string, object> }
  const isMeant = (path: string) =>
    !/^\/api\/v1\/(session|users|robots|accounts|groups|grants|signing-keys|audit)/.test(path)
  const operations = Object.entries(paths)
    .filter(([path]) => path.startsWith('/api/v1/') && isMeant(path))
    .flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`))
  const tried = ACTS.map(([method, path]) => `${method} /api/v1${path.split('?')[0]}`)
  const isTried = (operation: string) => {
    const pattern = new RegExp(`^${operation.replaceAll(/\{\w+\}/g, '[^/]+')}$`)
    return tried.some((one) => pattern.test(one))
  }
  expect(operations.length).toBeGreaterThan(30)
  expect(operations.filter((operation) => !isTried(operation))).toEqual([])
})

test('access: deleted repositories are listed for those who may restore them', async () => {
  const gone = 'team/gone'
  for (const who of ['reader', 'writer']) await server.grant(who, gone, 'reader')
  await server.grant('boss', gone, 'admin')
  await server.admin('PUT', '/repositories/team%2Fgone', { description: 'no longer for everybody' })
  await server.admin('DELETE', '/repositories/team%2Fgone')
  const found: Record<string, string[]> = {}
  for (const who of WHO.slice(1)) {
    const answer = await server.as(credentials[who]).fetch('/api/v1/repositories?deleted=true')
    const { items } = (await answer.json()) as { items: { name: string }[] }
    found[who] = items.map(({ name }) => name)
  }
  expect(found).toEqual({
    'no grant': [],
    reader: [],
    writer: [],
    'narrowed token': [],
    'repository admin': [gone],
    'server admin': [gone],
  })
})

test('access: in a public repository, only accounts see account names, and only server admins see addresses', async () => {
  const open = 'open/app'
  await server.grant('anonymous', 'open/**', 'reader')
  await pushImage(server.as(basic('admin')), open, manifest, [], { reference: 'v' })
  const paths = [
    '/repositories/open%2Fapp/history',
    '/repositories/open%2Fapp/tags/v/history',
    `/events?repository=${open}`,
  ]
  for (const path of paths) {
    const told = async (who: (typeof WHO)[number]) => {
      const answer = await server.as(credentials[who]).fetch(`/api/v1${path}`)
      const { items } = (await answer.json()) as { items: object[] }
      return Object.keys(items[0] ?? {}).filter((key) => ['account', 'address', 'requestId'].includes(key))
    }
    expect([path, await told('anonymous')]).toEqual([path, []])
    expect([path, await told('no grant')]).toEqual([path, ['account']])
    expect([path, await told('server admin')]).toEqual([path, ['account', 'address', 'requestId']])
  }
})

test('access: only server admins see that other repositories have the same content', async () => {
  await pushImage(server.as(basic('admin')), 'team/secret', manifest, [], { reference: 'v' })
  const told = async (who: (typeof WHO)[number], path: string) => {
    const answer = await server.as(credentials[who]).fetch(`/api/v1${path}`)
    const text = await answer.text()
    return ['uniqueBytes', 'storedAt'].filter((field) => text.includes(`"${field}"`))
  }
  for (const path of ['/repositories?q=team/app', repo]) {
    expect([path, await told('server admin', path)]).toEqual([path, ['uniqueBytes']])
    expect([path, await told('repository admin', path)]).toEqual([path, []])
  }
  expect(await told('server admin', `/blobs/${EMPTY.digest}`)).toEqual(['storedAt'])
  expect(await told('repository admin', `/blobs/${EMPTY.digest}`)).toEqual([])
})
