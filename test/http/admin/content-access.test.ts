import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../../support/accounts.ts'
import { EMPTY, imageManifest } from '../../support/content.ts'
import { pushImage } from '../../support/push.ts'

/** Who asks. The token is the server admin's, narrowed to pulls from the repository. */
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

/** What must come back, written by hand, in the order of WHO. */
const ACTS: [method: string, path: string, body: object | undefined, statuses: number[]][] = [
  ['GET', '/repositories', undefined, [401, 200, 200, 200, 200, 200, 200]],
  ['GET', '/repositories?deleted=true', undefined, [401, 200, 200, 200, 200, 200, 200]],
  ['GET', repo, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', other, undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['PUT', repo, {}, [401, 403, 403, 403, 200, 200, 403]],
  ['PUT', other, {}, [401, 403, 403, 403, 403, 200, 403]],
  ['PATCH', repo, { description: 'x' }, [401, 403, 403, 403, 200, 200, 403]],
  ['GET', `${repo}/history`, undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['POST', `${repo}/restore`, { at: past }, [401, 403, 403, 403, 200, 200, 403]],
  ['POST', `${repo}/restore`, {}, [401, 403, 403, 403, 409, 409, 403]],
  ['DELETE', '/repositories/team%2Fgone', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['PUT', `${repo}/tags/latest`, { digest: manifest.digest }, [401, 403, 403, 200, 200, 200, 403]],
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
  ['GET', '/events', undefined, [401, 400, 400, 400, 400, 200, 400]],
  ['GET', '/events?repository=team/other', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/events?repository=team/app', undefined, [401, 403, 200, 200, 200, 200, 200]],
  ['GET', `/blobs/${EMPTY.digest}`, undefined, [401, 404, 200, 200, 200, 200, 200]],
  ['GET', '/uploads', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['DELETE', `/uploads/${Bun.randomUUIDv7()}`, undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/storage', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/storage/repositories', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/collector', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/collector/candidates', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/collector/totals', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', `/collector/explain?digest=${EMPTY.digest}`, undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/jobs', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/jobs/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['DELETE', '/jobs/none', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/jobs/none/events', undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['POST', '/jobs', { kind: 'none' }, [401, 403, 403, 403, 403, 400, 403]],
  ['GET', '/server', undefined, [401, 403, 403, 403, 403, 200, 403]],
]

let server: AccountsServer
let credentials: Record<(typeof WHO)[number], string | undefined>
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
}, 60_000)
afterAll(() => server.stop())

describe.each(ACTS)('%s %s %j', (method, path, body, statuses) => {
  test.each(WHO.map((who, at) => [who, statuses[at] ?? 0] as const))('%s: %d', async (who, status) => {
    const answer = await server.as(credentials[who]).fetch(`/api/v1${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    const text = await answer.text()
    expect([answer.status, answer.status === status ? '' : text]).toEqual([status, ''])
    if (status >= 400) expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })
})

test('deleted repositories are listed for those who may bring them back', async () => {
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
    ...{ 'no grant': [], reader: [], writer: [], 'narrowed token': [] },
    ...{ 'repository admin': [gone], 'server admin': [gone] },
  })
})

test('where anybody may pull, names of accounts are for those who sign in, and the rest for server admins', async () => {
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
