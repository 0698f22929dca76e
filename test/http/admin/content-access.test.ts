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

/** What must come back, written by hand, in the order of WHO. */
const ACTS: [method: string, path: string, body: object | undefined, statuses: number[]][] = [
  ['GET', `/blobs/${EMPTY.digest}`, undefined, [401, 404, 200, 200, 200, 200, 200]],
  ['GET', '/uploads', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['DELETE', `/uploads/${Bun.randomUUIDv7()}`, undefined, [401, 403, 403, 403, 403, 404, 403]],
  ['GET', '/storage', undefined, [401, 403, 403, 403, 403, 200, 403]],
  ['GET', '/storage/repositories', undefined, [401, 403, 403, 403, 403, 200, 403]],
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
