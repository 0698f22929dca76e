import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { digestOf, EMPTY, imageManifest, json, OCI_MANIFEST, randomBlob } from '../support/content.ts'
import { expectStatus, pushBlob, pushImage, pushManifest } from '../support/push.ts'
import { beginRequest } from '../support/raw-request.ts'

/** alice has a private and a public image; bob has a repository of his own. */
const blob = randomBlob(100)
const manifest = imageManifest(EMPTY, [blob])
const referrer = json({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  artifactType: 'test/signature',
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: EMPTY.digest, size: 2 },
  layers: [],
  subject: { mediaType: OCI_MANIFEST, digest: manifest.digest, size: manifest.bytes.length },
})
const unknown = digestOf(new TextEncoder().encode('unknown'))

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  for (const name of ['alice', 'bob']) await server.addUser(name)
  await server.grant('anonymous', 'alice/public', 'reader')
  const alice = server.as(basic('alice'))
  await pushImage(alice, 'alice/private', manifest, [blob], { reference: 'secret-tag' })
  await pushManifest(alice, 'alice/private', referrer)
  await pushImage(alice, 'alice/public', imageManifest(EMPTY, []), [], { reference: 'latest' })
  await pushBlob(server.as(basic('bob')), 'bob/app', EMPTY)
}, 60_000)
afterAll(() => server.stop())

const ASKERS: [string, string | undefined][] = [
  ['anonymous', undefined],
  ['another user', basic('bob')],
]

describe.each(ASKERS)('to %s', (_, authorization) => {
  test('the catalog lists only repositories that the caller may pull from', async () => {
    const { repositories } = await read<{ repositories: string[] }>(authorization, '/v2/_catalog')
    expect(repositories).toEqual(authorization === undefined ? ['alice/public'] : ['alice/public', 'bob/app'])
    const page = await read<{ repositories: string[] }>(authorization, '/v2/_catalog?n=1&last=alice/a')
    expect(page.repositories).toEqual(['alice/public'])
  })

  test.each([
    ['GET', 'tags/list'],
    ['GET', `manifests/${manifest.digest}`],
    ['HEAD', 'manifests/secret-tag'],
    ['GET', `blobs/${blob.digest}`],
    ['HEAD', `blobs/${blob.digest}`],
    ['GET', `referrers/${manifest.digest}`],
    ['POST', 'blobs/uploads/'],
    ['POST', `blobs/uploads/?mount=${blob.digest}&from=bob/app`],
    ['PUT', 'manifests/secret-tag'],
    ['DELETE', `manifests/${manifest.digest}`],
    ['DELETE', `blobs/${blob.digest}`],
    ['PATCH', 'blobs/uploads/00000000-0000-4000-8000-000000000000'],
  ])('%s %s of a private repository is answered as of one that is absent', async (method, rest) => {
    const ask = async (repository: string) => {
      const path = `/v2/${repository}/${rest}`
      const response = await server.as(authorization).fetch(path, { method })
      const headers = Object.fromEntries(response.headers)
      for (const name of ['date', 'x-request-id']) delete headers[name]
      const text = JSON.stringify([response.status, headers, await response.text()])
      expect(text).not.toMatch(/secret-tag(?!")|no such/)
      return text.replaceAll(repository, 'NAME')
    }
    expect(await ask('alice/private')).toBe(await ask('alice/missing'))
  })

  test('a private blob cannot be read through another repository', async () => {
    const path = `/v2/alice/public/blobs/${blob.digest}`
    const response = await server.as(authorization).fetch(path)
    expect(response.status).toBe(404)
    const absent = await server.as(authorization).fetch(`/v2/alice/public/blobs/${unknown}`)
    const text = (await absent.text()).replaceAll(unknown, blob.digest)
    expect(await response.text()).toBe(text)
  })

  test('a private manifest and its referrers cannot be read through another repository', async () => {
    const principal = server.as(authorization)
    expect((await principal.fetch(`/v2/alice/public/manifests/${manifest.digest}`)).status).toBe(404)
    const index = await read<{ manifests: unknown[] }>(
      authorization,
      `/v2/alice/public/referrers/${manifest.digest}`,
    )
    expect(index.manifests).toEqual([])
  })
})

describe('leaks: a mount', () => {
  const mount = async (authorization: string, query: string) => {
    const path = `/v2/bob/app/blobs/uploads/?mount=${query}`
    const response = await server.as(authorization).fetch(path, { method: 'POST' })
    const text = `${response.headers.get('location')} ${await response.text()}`
    expect(text).not.toContain('private')
    return response.status
  }

  test.each([
    ['of a private blob, with from', `${blob.digest}&from=alice/private`],
    ['of a private blob, without from', blob.digest],
    ['of an absent one, with from', `${unknown}&from=alice/private`],
    ['of an absent one, without from', unknown],
    ['from an absent repository', `${blob.digest}&from=alice/missing`],
    ['from a name that is none', `${blob.digest}&from=%22evil%22`],
  ])('%s begins an upload, as if nothing were there', async (_, query) => {
    expect(await mount(basic('bob'), query)).toBe(202)
    expect((await server.as(basic('bob')).fetch(`/v2/bob/app/blobs/${blob.digest}`)).status).toBe(404)
  })

  test('with a token of /token is limited to what the account may pull, with and without from', async () => {
    const token = await server.tokenFor(basic('alice'), 'repository:alice/target:pull,push')
    for (const from of ['&from=alice/private', '']) {
      const path = `/v2/alice/target/blobs/uploads/?mount=${blob.digest}${from}`
      expect((await server.as(bearer(token)).fetch(path, { method: 'POST' })).status).toBe(201)
    }
  })

  test("with a scoped token is limited to the token's scope", async () => {
    const { secret } = await server.addToken('alice', {
      scope: [{ pattern: 'alice/target', role: 'writer' }],
    })
    for (const from of ['&from=alice/private', '']) {
      const path = `/v2/alice/target/blobs/uploads/?mount=${digestOf(EMPTY.bytes)}${from}`
      const response = await server.as(bearer(secret)).fetch(path, { method: 'POST' })
      expect(response.status).toBe(202)
    }
  })

  test('of a blob that the caller may pull links it, with and without from', async () => {
    await server.grant('bob', 'alice/private', 'reader')
    expect(await mount(basic('bob'), `${blob.digest}&from=alice/private`)).toBe(201)
    await server.admin('DELETE', '/grants?subject=bob&pattern=alice/private')
    expect(await mount(basic('bob'), blob.digest)).toBe(201)
  })
})

describe('revoking access takes effect immediately, even with a valid token', () => {
  const path = '/v2/alice/private/tags/list'
  const scope = 'repository:alice/private:pull'
  const statusOf = async (authorization: string) => (await server.as(authorization).fetch(path)).status

  test('when a grant is deleted', async () => {
    await server.grant('bob', 'alice/**', 'reader')
    const token = bearer(await server.tokenFor(basic('bob'), scope))
    expect([await statusOf(token), await statusOf(basic('bob'))]).toEqual([200, 200])
    await server.admin('DELETE', '/grants?subject=bob&pattern=alice/**')
    expect([await statusOf(token), await statusOf(basic('bob'))]).toEqual([403, 403])
  })

  test('when an account leaves a group, or the group is deleted', async () => {
    await server.admin('PUT', '/groups/readers')
    await server.admin('PATCH', '/groups/readers', { add: ['bob'] })
    await server.grant('group:readers', 'alice/**', 'reader')
    const token = bearer(await server.tokenFor(basic('bob'), scope))
    expect(await statusOf(token)).toBe(200)
    await server.admin('PATCH', '/groups/readers', { remove: ['bob'] })
    expect(await statusOf(token)).toBe(403)
    await server.admin('PATCH', '/groups/readers', { add: ['bob'] })
    expect(await statusOf(token)).toBe(200)
    await server.admin('DELETE', '/groups/readers')
    expect(await statusOf(token)).toBe(403)
  })

  test("when a robot's token is revoked, or the robot is disabled or deleted", async () => {
    await server.admin('PUT', '/robots/alice%2Bci')
    await server.grant('alice+ci', 'alice/**', 'reader')
    const make = async () => {
      const { id, secret } = await server.addToken('alice+ci')
      return {
        id,
        own: basic('alice+ci', secret),
        short: bearer(await server.tokenFor(basic('alice+ci', secret), scope)),
      }
    }
    const [one, two] = [await make(), await make()]
    const statuses = async () => Promise.all([one.own, one.short, two.own, two.short].map(statusOf))
    expect(await statuses()).toEqual([200, 200, 200, 200])
    await server.admin('DELETE', `/accounts/alice%2Bci/tokens/${one.id}`)
    expect(await statuses()).toEqual([401, 401, 200, 200])
    await server.admin('PATCH', '/robots/alice%2Bci', { disabled: true })
    expect(await statuses()).toEqual([401, 401, 401, 401])
    await server.admin('PATCH', '/robots/alice%2Bci', { disabled: false })
    expect(await statuses()).toEqual([401, 401, 200, 200])
    await server.admin('DELETE', '/robots/alice%2Bci')
    expect(await statuses()).toEqual([401, 401, 401, 401])
  })

  test('when an account is deleted, with its robots and refresh tokens', async () => {
    await server.addUser('carol')
    await server.admin('PUT', '/robots/carol%2Bci')
    await server.grant('carol', 'alice/**', 'reader')
    await server.grant('carol+ci', '**', 'admin')
    const robot = basic('carol+ci', (await server.addToken('carol+ci')).secret)
    const token = bearer(await server.tokenFor(basic('carol'), scope))
    const refresh = await refreshToken('carol')
    expect([await statusOf(token), await statusOf(robot)]).toEqual([200, 200])
    expect(await refreshStatus(refresh)).toBe(200)
    await server.admin('DELETE', '/users/carol')
    expect([await statusOf(token), await statusOf(robot), await statusOf(basic('carol'))]).toEqual([
      401, 401, 401,
    ])
    expect(await refreshStatus(refresh)).toBe(401)
  })

  test('when the password changes, also for tokens issued with the old one', async () => {
    await server.addUser('dave')
    await server.grant('dave', 'alice/**', 'reader')
    const token = bearer(await server.tokenFor(basic('dave'), scope))
    expect(await statusOf(token)).toBe(200)
    const refresh = await refreshToken('dave')
    expect(await refreshStatus(refresh)).toBe(200)
    await server.admin('PATCH', '/users/dave', { password: 'another-horse' })
    expect([await refreshStatus(refresh), await statusOf(token)]).toEqual([401, 401])
    const base = async (password?: string) => (await server.as(basic('dave', password)).fetch('/v2/')).status
    expect([await base(), await base('another-horse')]).toEqual([401, 200])
  })

  async function refreshToken(name: string): Promise<string> {
    const form = { grant_type: 'password', username: name, password: PASSWORD, access_type: 'offline' }
    const response = await server.fetch('/token', { method: 'POST', body: new URLSearchParams(form) })
    return ((await response.json()) as { refresh_token: string }).refresh_token
  }

  async function refreshStatus(refresh: string): Promise<number> {
    const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refresh })
    return (await server.fetch('/token', { method: 'POST', body })).status
  }
})

test('robots: a robot can never do more than its owner', async () => {
  await server.addUser('erin')
  await server.admin('PUT', '/robots/erin%2Bci')
  await server.grant('erin+ci', '**', 'admin')
  const robot = server.as(basic('erin+ci', (await server.addToken('erin+ci')).secret))
  expect((await robot.fetch('/v2/alice/private/tags/list')).status).toBe(403)
  const { repositories } = (await (await robot.fetch('/v2/_catalog')).json()) as { repositories: string[] }
  expect(repositories).toEqual(['alice/public'])
})

test('pushes: a repository is created only where a grant allows it', async () => {
  const bob = server.as(basic('bob'))
  await pushBlob(bob, 'bob/new/deep', EMPTY)
  await expectStatus(await bob.fetch('/v2/bob/blobs/uploads/', { method: 'POST' }), 403)
  await expectStatus(await bob.fetch('/v2/bobby/x/blobs/uploads/', { method: 'POST' }), 403)
})

test.each([
  ['a line break in the name', '/v2/a%0d%0aset-cookie:x/tags/list'],
  ['quotes in the name', '/v2/a",error="x/tags/list'],
  ['quotes in from', `/v2/a/blobs/uploads/?mount=${unknown}&from=a%22,error=%22x`],
  ['a line break in from', `/v2/a/blobs/uploads/?mount=${unknown}&from=a%0d%0aset-cookie:%20x`],
])('%s adds nothing to the headers', async (_, path) => {
  const method = path.includes('mount') ? 'POST' : 'GET'
  const { answer } = await beginRequest(server.url, [`${method} ${path} HTTP/1.1`, 'Connection: close'])
  const head = (await answer).split('\r\n\r\n')[0] ?? ''
  expect(head).toMatch(/^HTTP\/1.1 40[01] /)
  expect(head).not.toMatch(/set-cookie|error=/i)
})

async function read<T>(authorization: string | undefined, path: string): Promise<T> {
  return (await expectStatus(await server.as(authorization).fetch(path), 200)).json() as Promise<T>
}
