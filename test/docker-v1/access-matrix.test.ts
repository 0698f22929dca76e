import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { V1_ROUTES } from '../../src/docker-v1/routes.ts'
import { type AccountsServer, basic, bearer, startWithAccounts } from '../support/accounts.ts'
import { pushImage } from '../support/push.ts'
import { oldImage } from '../support/v1.ts'

/** The principals, whose access to `team/app` is tested. */
const WHO = [
  'anonymous',
  'no grant',
  'reader',
  'server admin',
  'robot',
  'narrowed token',
  'wrong password',
  'disabled account',
  'token',
  'token of another repository',
  'token of V2',
  'expired token',
  'made-up token',
  'cookie',
  'cookie of another repository',
  'expired cookie',
  'made-up cookie',
] as const
type Who = (typeof WHO)[number]

/** The expected statuses in the order of WHO, written by hand: never generated from the route table. */
const EXPECTED: Record<string, number[]> = {
  v1Ping: [200, 200, 200, 200, 200, 200, 401, 401, 200, 200, 200, 401, 401, 200, 200, 200, 200],
  v1InternalPing: [200, 200, 200, 200, 200, 200, 401, 401, 200, 200, 200, 401, 401, 200, 200, 200, 200],
  v1Search: [401, 200, 200, 200, 200, 200, 401, 401, 200, 200, 200, 401, 401, 200, 200, 401, 401],
  v1CheckPassword: [400, 400, 400, 400, 400, 400, 401, 401, 400, 400, 400, 401, 401, 400, 400, 400, 400],
  v1GetAccount: [401, 200, 200, 200, 200, 200, 401, 401, 200, 200, 200, 401, 401, 200, 200, 401, 401],
  v1PutPassword: [401, 403, 400, 403, 403, 403, 401, 401, 403, 403, 403, 401, 401, 403, 403, 401, 401],
  v1ListImages: [401, 403, 200, 200, 200, 200, 401, 401, 200, 401, 200, 401, 401, 200, 401, 401, 401],
  v1ListTags: [401, 403, 200, 200, 200, 200, 401, 401, 200, 401, 200, 401, 401, 200, 401, 401, 401],
  v1GetTag: [401, 403, 200, 200, 200, 200, 401, 401, 200, 401, 200, 401, 401, 200, 401, 401, 401],
  v1GetImage: [401, 403, 200, 200, 200, 200, 401, 401, 200, 401, 200, 401, 401, 200, 401, 401, 401],
  v1ListAncestors: [401, 403, 200, 200, 200, 200, 401, 401, 200, 401, 200, 401, 401, 200, 401, 401, 401],
  v1GetLayer: [401, 403, 200, 200, 200, 200, 401, 401, 200, 401, 200, 401, 401, 200, 401, 401, 401],
  v1PushRepository: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushImages: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushAuth: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushTags: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushTag: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushImage: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushLayer: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
  v1PushChecksum: [405, 405, 405, 405, 405, 405, 401, 401, 405, 405, 405, 401, 401, 405, 405, 405, 405],
}

const repository = 'team/app'
const hour = 3_600_000

/** Each request has another address, because failed logins are rate-limited. */
let address = 0
let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
let id: string
let headersOf: Record<Exclude<Who, 'wrong password'>, Record<string, string>>

beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock, settings: { 'trusted-proxies': '127.0.0.1' } })
  for (const name of ['reader', 'other', 'gone']) await server.addUser(name)
  await server.admin('PUT', '/robots/reader%2Bci')
  for (const who of ['reader', 'gone', 'reader+ci']) await server.grant(who, 'team/**', 'reader')
  const { manifest, blobs } = oldImage()
  for (const name of [repository, 'team/other']) {
    await pushImage(server.as(basic('admin')), name, manifest, blobs, { reference: 'v' })
  }
  const expired = await sessionOf('reader', repository)
  clock += hour
  const current = await sessionOf('reader', repository)
  const elsewhere = await sessionOf('reader', 'team/other')
  const gone = await server.addToken('gone')
  await server.admin('PATCH', '/users/gone', { disabled: true })
  const scope = [{ pattern: 'team/**', role: 'reader' }]
  const by = (authorization: string) => ({ authorization })
  headersOf = {
    anonymous: {},
    'no grant': by(basic('other')),
    reader: by(basic('reader')),
    'server admin': by(basic('admin')),
    robot: by(basic('reader+ci', (await server.addToken('reader+ci')).secret)),
    'narrowed token': by(basic('reader', (await server.addToken('reader', { scope })).secret)),
    'disabled account': by(basic('gone', gone.secret)),
    token: by(current.token),
    'token of another repository': by(elsewhere.token),
    'token of V2': by(bearer(await server.tokenFor(basic('reader'), `repository:${repository}:pull`))),
    'expired token': by(expired.token),
    'made-up token': by('Token signature=a.b.c,repository="team/app",access=read'),
    cookie: { cookie: current.cookie },
    'cookie of another repository': { cookie: elsewhere.cookie },
    'expired cookie': { cookie: expired.cookie },
    'made-up cookie': { cookie: 'cay-v1=a.b.c' },
  }
  id = (await (
    await server.as(basic('admin')).fetch(`/v1/repositories/${repository}/tags/v`)
  ).json()) as string
}, 60_000)
afterAll(() => server.stop())

async function sessionOf(name: string, of: string): Promise<{ token: string; cookie: string }> {
  const { headers } = await server
    .as(basic(name))
    .fetch(`/v1/repositories/${of}/images`, { headers: { 'x-docker-token': 'true' } })
  const cookie = headers.get('set-cookie')?.split(';')[0] ?? ''
  return { token: `Token ${headers.get('x-docker-token')}`, cookie }
}

test('docker v1: every route has its expectations, and every expectation its route', () => {
  expect(Object.keys(EXPECTED)).toEqual(V1_ROUTES.map(({ id }) => id))
  for (const statuses of Object.values(EXPECTED)) expect(statuses.length).toBe(WHO.length)
})

describe.each(V1_ROUTES.map((route) => [route.id, route] as const))('%s', (row, { methods, path }) => {
  test.each(WHO.map((who, at) => [who, EXPECTED[row]?.[at] ?? 0] as const))('%s: %d', async (who, status) => {
    for (const method of methods) {
      const from = `192.0.2.${++address % 250}`
      // Failed logins of one account are rate-limited.
      const wrong = { authorization: basic(`stranger-${address}`, 'wrong-password') }
      const response = await server.fetch(pathOf(path), {
        method,
        headers: { ...(who === 'wrong password' ? wrong : headersOf[who]), 'x-forwarded-for': from },
        ...(method === 'PUT' || method === 'POST' ? { body: '{}' } : {}),
      })
      expect([method, response.status]).toEqual([method, status])
      if (status === 401) expect(response.headers.get('www-authenticate')).toMatch(/^Basic realm=/)
    }
  })
})

function pathOf(kind: (typeof V1_ROUTES)[number]['path']): string {
  const ofRepository = `/v1/repositories/${repository}`
  const paths: Record<typeof kind, string> = {
    ping: '/v1/_ping',
    internalPing: '/v1/_internal_ping',
    search: '/v1/search?q=app',
    users: '/v1/users/',
    user: '/v1/users/reader/',
    repository: `${ofRepository}/`,
    images: `${ofRepository}/images`,
    auth: `${ofRepository}/auth`,
    tags: `${ofRepository}/tags`,
    tag: `${ofRepository}/tags/v`,
    json: `/v1/images/${id}/json`,
    ancestry: `/v1/images/${id}/ancestry`,
    layer: `/v1/images/${id}/layer`,
    checksum: `/v1/images/${id}/checksum`,
  }
  return paths[kind]
}

test('docker v1: lists and searches have only repositories that the caller may pull from', async () => {
  const found = async (who: keyof typeof headersOf) => {
    const response = await server.fetch('/v1/search?q=app', { headers: headersOf[who] })
    return ((await response.json()) as { results: { name: string }[] }).results.map(({ name }) => name)
  }
  expect(await found('no grant')).toEqual([])
  expect(await found('reader')).toEqual([repository])
})
