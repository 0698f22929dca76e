import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, startWithAccounts } from '../../support/accounts.ts'

const NEEDS_WRITER = 'alice may not push to team/app: needs writer'
const CONTAINERD = { 'user-agent': 'containerd/1.6.20~ds1' }

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  await server.addUser('alice')
  await server.grant('alice', 'team/app', 'reader')
}, 60_000)
afterAll(() => server.stop())

/** Starts an upload to a repository, and returns the response. */
function push(authorization: string | undefined, headers = {}, repository = 'team/app', method = 'POST') {
  return server.as(authorization).fetch(`/v2/${repository}/blobs/uploads/`, { method, headers })
}

test('denials: a push without the role says who needs which role where, also with a token of /token', async () => {
  const token = await server.tokenFor(basic('alice'), 'repository:team/app:pull,push')
  for (const authorization of [basic('alice'), bearer(token)]) {
    const response = await push(authorization)
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([403, null])
    expect(await response.json()).toEqual({
      errors: [{ code: 'DENIED', message: NEEDS_WRITER, detail: { action: 'push' } }],
    })
  }
})

test('denials: containerd, which shows no body, gets the reason in the challenge, except for a PUT', async () => {
  const response = await push(basic('alice'), CONTAINERD)
  expect(response.status).toBe(401)
  expect(response.headers.get('www-authenticate')).toMatch(
    /^Bearer realm="[^"]+",service="[^"]+",scope="repository:team\/app:pull,push",error="alice may not push to team\/app: needs writer"$/,
  )
  const head = await server.as(basic('alice')).fetch('/v2/secret/app/manifests/1', {
    method: 'HEAD',
    headers: CONTAINERD,
  })
  expect(head.headers.get('www-authenticate')).toEndWith(
    'error="alice may not pull from secret/app: needs reader"',
  )
  const put = await server.as(basic('alice')).fetch('/v2/team/app/manifests/1', {
    method: 'PUT',
    headers: CONTAINERD,
    body: '{}',
  })
  expect(put.status).toBe(403)
})

test('denials: an anonymous client is asked to sign in, and learns nothing else', async () => {
  for (const headers of [{}, CONTAINERD]) {
    const response = await push(undefined, headers)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).not.toContain('error=')
  }
})
