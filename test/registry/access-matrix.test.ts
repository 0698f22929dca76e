import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { routes } from '../../src/registry/routes.ts'
import { type AccountsServer, basic, bearer, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, type Named, named, OCI_MANIFEST } from '../support/content.ts'
import { pushBlob, pushImage, startUpload } from '../support/push.ts'

/** The principals. All but the last ones have a valid credential. */
const WHO = [
  'anonymous',
  'reader',
  'writer',
  'admin',
  'server admin',
  'other user',
  'robot',
  'personal token',
  'narrowed token',
  'expired token',
  'expired personal token',
  'revoked token',
  'token of a revoked one',
  'token for another repository',
  'token of anonymous',
  'wrong password',
  'disabled account',
] as const
type Who = (typeof WHO)[number]

/** The principals that can get a token of /token for everything that they may do. */
const BY_TOKEN = [
  'reader',
  'writer',
  'admin',
  'server admin',
  'other user',
  'robot',
  'personal token',
] as const

/** The expected statuses in the order of WHO, written by hand: never generated from the route table. */
const EXPECTED: Record<string, number[]> = {
  v2GetBase: [401, 200, 200, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200, 401, 401],
  v2GetBlob: [401, 200, 200, 200, 200, 403, 200, 200, 200, 401, 401, 401, 401, 401, 401, 401, 401],
  v2GetManifest: [401, 200, 200, 200, 200, 403, 200, 200, 200, 401, 401, 401, 401, 401, 401, 401, 401],
  v2StartUpload: [401, 403, 202, 202, 202, 403, 202, 202, 403, 401, 401, 401, 401, 401, 401, 401, 401],
  v2AppendUpload: [401, 403, 202, 202, 202, 403, 202, 202, 403, 401, 401, 401, 401, 401, 401, 401, 401],
  v2CompleteUpload: [401, 403, 201, 201, 201, 403, 201, 201, 403, 401, 401, 401, 401, 401, 401, 401, 401],
  v2PutManifest: [401, 403, 201, 201, 201, 403, 201, 201, 403, 401, 401, 401, 401, 401, 401, 401, 401],
  v2ListTags: [401, 200, 200, 200, 200, 403, 200, 200, 200, 401, 401, 401, 401, 401, 401, 401, 401],
  v2DeleteManifest: [401, 403, 403, 202, 202, 403, 403, 403, 403, 401, 401, 401, 401, 403, 401, 401, 401],
  v2DeleteBlob: [401, 403, 403, 202, 202, 403, 403, 403, 403, 401, 401, 401, 401, 403, 401, 401, 401],
  v2ListReferrers: [401, 200, 200, 200, 200, 403, 200, 200, 200, 401, 401, 401, 401, 401, 401, 401, 401],
  v2GetUpload: [401, 403, 204, 204, 204, 403, 204, 204, 403, 401, 401, 401, 401, 401, 401, 401, 401],
  v2CancelUpload: [401, 403, 204, 204, 204, 403, 204, 204, 403, 401, 401, 401, 401, 401, 401, 401, 401],
  v2ListRepositories: [401, 200, 200, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 401, 401, 401, 401],
}

const rows = routes()
const repository = 'team/app'
const manifest = imageManifest(EMPTY, [])
const scope = `repository:${repository}:pull,push,delete`
const day = 86_400_000

/** Each request has another address, because failed logins are rate-limited. */
let address = 0
let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
let credentials: Record<Exclude<Who, 'wrong password'>, string | undefined>

beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock, settings: { 'trusted-proxies': '127.0.0.1' } })
  for (const name of ['reader', 'writer', 'boss', 'other', 'gone']) await server.addUser(name)
  await server.admin('PUT', '/robots/writer%2Bci')
  await server.grant('reader', 'team/**', 'reader')
  await server.grant('writer', 'team/*', 'writer')
  await server.grant('boss', repository, 'admin')
  await server.grant('gone', '**', 'admin')
  await server.grant('writer+ci', '**', 'admin')
  const robot = await server.addToken('writer+ci')
  const revoked = await server.addToken('writer')
  const expired = await server.tokenFor(basic('writer'), scope, 'registry:catalog:*')
  const expiring = await server.addToken('writer', { expiresInDays: 1 })
  clock += 2 * day
  const disabled = await server.addToken('gone')
  const late = await server.tokenFor(basic('writer', revoked.secret), scope, 'registry:catalog:*')
  await server.admin('DELETE', `/accounts/writer/tokens/${revoked.id}`)
  await server.admin('PATCH', '/users/gone', { disabled: true })
  const rules = [{ pattern: 'team/**', role: 'reader' }]
  credentials = {
    anonymous: undefined,
    reader: basic('reader'),
    writer: basic('writer'),
    admin: basic('boss'),
    'server admin': basic('admin'),
    'other user': basic('other'),
    robot: basic('writer+ci', robot.secret),
    'personal token': bearer((await server.addToken('writer')).secret),
    'narrowed token': basic('writer', (await server.addToken('writer', { scope: rules })).secret),
    'expired token': bearer(expired),
    'expired personal token': basic('writer', expiring.secret),
    'revoked token': basic('writer', revoked.secret),
    'token of a revoked one': bearer(late),
    'token for another repository': bearer(
      await server.tokenFor(basic('writer'), 'repository:team/other:pull,push,delete'),
    ),
    'token of anonymous': bearer(await server.tokenFor(undefined, scope, 'registry:catalog:*')),
    'disabled account': basic('gone', disabled.secret),
  }
}, 60_000)
afterAll(() => server.stop())

test('access: every route has its expectations, and every expectation its route', () => {
  expect(Object.keys(EXPECTED)).toEqual(rows.map(({ id }) => id))
  for (const statuses of Object.values(EXPECTED)) expect(statuses.length).toBe(WHO.length)
})

describe.each(rows.map(({ id, methods }) => [id, methods] as const))('%s', (id, methods) => {
  test.each(WHO.map((who, at) => [who, EXPECTED[id]?.[at] ?? 0] as const))('%s: %d', async (who, status) => {
    for (const method of methods) {
      const { path, init } = await requestOf(id)
      // Each request has another account, too, for the same reason.
      const nobody = basic(`nobody-${address}`, 'wrong-password')
      const credential = who === 'wrong password' ? nobody : credentials[who]
      expect([method, await ask(credential, method, path, init)]).toEqual([method, of(method, id, status)])
    }
  })

  test.each(BY_TOKEN)('%s, with a token of /token: as with Basic', async (who) => {
    const token = await server.tokenFor(credentials[who], scope, 'registry:catalog:*')
    for (const method of methods) {
      const { path, init } = await requestOf(id)
      const status = EXPECTED[id]?.[WHO.indexOf(who)]
      expect([method, await ask(bearer(token), method, path, init)]).toEqual([
        method,
        of(method, id, status ?? 0),
      ])
    }
  })
})

async function ask(
  authorization: string | undefined,
  method: string,
  path: string,
  init: RequestInit,
): Promise<number> {
  const headers = { ...init.headers, 'x-forwarded-for': `192.0.2.${++address % 256}` }
  const response = await server.as(authorization).fetch(path, { ...init, method, headers })
  const challenge = response.headers.get('www-authenticate')
  if (response.status === 401)
    expect(challenge).toStartWith(`Bearer realm="${server.url}/token",service="cay-`)
  else expect(challenge).toBe(null)
  if (response.status === 403 && method !== 'HEAD') {
    const { errors } = (await response.json()) as { errors: { code: string }[] }
    expect(errors.map(({ code }) => code)).toEqual(['DENIED'])
  }
  return response.status
}

/** A denied HEAD by digest is answered as if nothing existed: see denials.test.ts. */
function of(method: string, id: string, status: number): number {
  return method === 'HEAD' && status === 403 && ['v2GetBlob', 'v2GetManifest'].includes(id) ? 404 : status
}

/** Returns a request for a row, with content of its own, so that no request deletes what the next one needs. */
async function requestOf(id: string): Promise<{ path: string; init: RequestInit }> {
  const owner = server.as(basic('admin'))
  const base = `/v2/${repository}`
  const upload = () => startUpload(owner, repository)
  const content = named(crypto.randomUUID())
  const image = async (): Promise<Named> =>
    await pushImage(owner, repository, imageManifest(EMPTY, [], { annotations: { id: content.digest } }), [])
  switch (id) {
    case 'v2GetBase':
      return { path: '/v2/', init: {} }
    case 'v2GetBlob':
      await pushBlob(owner, repository, EMPTY)
      return { path: `${base}/blobs/${EMPTY.digest}`, init: {} }
    case 'v2GetManifest':
      return { path: `${base}/manifests/${(await image()).digest}`, init: {} }
    case 'v2StartUpload':
      return { path: `${base}/blobs/uploads/`, init: {} }
    case 'v2AppendUpload':
      return { path: await upload(), init: { body: content.bytes } }
    case 'v2CompleteUpload':
      return { path: `${await upload()}?digest=${content.digest}`, init: { body: content.bytes } }
    case 'v2PutManifest':
      await image()
      return {
        path: `${base}/manifests/latest`,
        init: { body: manifest.bytes, headers: { 'content-type': OCI_MANIFEST } },
      }
    case 'v2ListTags':
      await image()
      return { path: `${base}/tags/list`, init: {} }
    case 'v2DeleteManifest':
      return { path: `${base}/manifests/${(await image()).digest}`, init: {} }
    case 'v2DeleteBlob':
      await pushBlob(owner, repository, content)
      return { path: `${base}/blobs/${content.digest}`, init: {} }
    case 'v2ListReferrers':
      return { path: `${base}/referrers/${manifest.digest}`, init: {} }
    case 'v2GetUpload':
    case 'v2CancelUpload':
      return { path: await upload(), init: {} }
    case 'v2ListRepositories':
      return { path: '/v2/_catalog', init: {} }
    default:
      throw new Error(`there is no request for ${id}`)
  }
}
