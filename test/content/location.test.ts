import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { OpenAPIV3 } from 'openapi-types'
import { type AccountsServer, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { documentOf } from '../support/described.ts'
import { pushImage } from '../support/push.ts'

const digest = imageManifest(EMPTY, []).digest

/** Creates a resource with each operation that can respond with 201. */
const CREATIONS: Record<string, [method: string, path: string, body?: object]> = {
  putUser: ['PUT', '/users/alice', { password: 'correct-horse' }],
  putRobot: ['PUT', '/robots/alice%2Bci'],
  createToken: ['POST', '/accounts/alice%2Bci/tokens', { name: 'ci' }],
  putGroup: ['PUT', '/groups/team'],
  putGrant: ['PUT', '/grants', { subject: 'group:team', pattern: 'team/**', role: 'writer' }],
  rotateSigningKey: ['POST', '/signing-keys'],
  putRepository: ['PUT', '/repositories/team%2Fother', {}],
  putTag: ['PUT', '/repositories/team%2Fapp/tags/stable', { digest }],
  putPin: ['PUT', '/pins', { pattern: 'docker.io/**', reference: '3' }],
  putUpstream: ['PUT', '/upstreams/up.example', {}],
  putRetentionPolicy: ['PUT', '/retention/policies/ci', { repositories: ['ci/**'], newest: 10 }],
  putQuota: ['PUT', '/quotas/team', { bytesMax: 1000 }],
  startJob: ['POST', '/jobs', { kind: 'gc' }],
}

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  const { secret } = await server.addToken('admin')
  server = { ...server, ...server.as(`Bearer ${secret}`) }
  await pushImage(server, 'team/app', imageManifest(EMPTY, []), [], { reference: 'latest' })
}, 60_000)
afterAll(() => server.stop())

const ask = async (method: string, path: string, body?: object) => {
  const headers = body && { 'content-type': 'application/json' }
  return await server.fetch(path, { method, ...(body && { headers, body: JSON.stringify(body) }) })
}

test('api: each operation that creates a resource responds with a Location, and its document says so', async () => {
  const { paths } = await documentOf(server.url)
  const creating = Object.entries(paths)
    .filter(([path]) => path.startsWith('/api/v1/'))
    .flatMap(([, item]) => Object.values(item ?? {}) as OpenAPIV3.OperationObject[])
    .filter(({ responses }) => responses?.[201] !== undefined)
  const documented = creating.filter(({ responses }) => 'location' in (headersOf(responses[201]) ?? {}))
  expect(documented).toEqual(creating)
  expect(creating.map(({ operationId }) => operationId ?? '').sort()).toEqual(
    [...Object.keys(CREATIONS), 'createSession'].sort(),
  )
})

for (const [id, [method, path, body]] of Object.entries(CREATIONS)) {
  test(`api: ${id} responds with the Location of what it created`, async () => {
    const created = await ask(method, `/api/v1${path}`, body)
    const location = created.headers.get('location') ?? ''
    expect([created.status, location.startsWith('/api/v1/')]).toEqual([201, true])
    const resource = (await created.json()) as Record<string, unknown>
    const found = await ask('GET', location)
    const answer = (await found.json()) as { items?: object[] }
    const one = answer.items === undefined ? answer : answer.items
    // What is shown only once, and what the job has done by now, can differ.
    for (const name of ['secret', 'othersExpireAt', 'state', 'progress', 'endedAt', 'result'])
      delete resource[name]
    expect(found.status).toBe(200)
    expect(one).toMatchObject(answer.items === undefined ? resource : [resource])
    if (method === 'PUT')
      expect((await ask(method, `/api/v1${path}`, body)).headers.get('location')).toBe(null)
  })
}

test('api: a sign-in responds with the Location of the session', async () => {
  const signIn = await ask('POST', '/api/v1/session', { username: 'alice', password: 'correct-horse' })
  expect([signIn.status, signIn.headers.get('location')]).toEqual([201, '/api/v1/session'])
})

function headersOf(response: OpenAPIV3.ResponsesObject[string] | undefined) {
  return response && 'headers' in response ? response.headers : undefined
}
