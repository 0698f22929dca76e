import { describe, expect, test } from 'bun:test'
import { type Handled, requestLogger } from '../../src/http/request-log.ts'
import { registryError } from '../../src/oci/error.ts'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, named, randomBlob } from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { expectStatus, pushImage, putManifest } from '../support/push.ts'
import { until } from '../support/until.ts'

const INFO = 30
const ERROR = 50

const REQUEST: Handled = {
  method: 'PUT',
  path: '/v2/app/manifests/v1',
  status: 403,
  route: undefined,
  requestId: '1',
  began: 0,
  failure: undefined,
  deed: undefined,
  account: 'alice',
  address: () => '192.0.2.1',
  client: null,
}

test('request log: a line repeats a bounded part of what a client sent', () => {
  const { log, lines } = openMemoryLog()
  const long = 'x'.repeat(15_000)
  const failure = registryError('MANIFEST_INVALID', `invalid Content-Type ${long}`)
  requestLogger(log)({ ...REQUEST, path: `/v2/${long}`, status: 400, failure, client: long })
  expect(lines).toHaveLength(1)
  expect(JSON.stringify(lines[0]).length).toBeLessThan(2700)
  expect(lines[0]?.path).toStartWith('/v2/xxx')
})

test('request log: a client that is refused again and again gets 20 lines at info, others still get theirs', () => {
  const { log, lines } = openMemoryLog()
  const logRequest = requestLogger(log)
  for (let n = 0; n < 50; n++) logRequest(REQUEST)
  logRequest({ ...REQUEST, address: () => '192.0.2.2' })
  const refused = lines.filter(({ level }) => level === INFO)
  expect(refused).toHaveLength(21)
  expect(refused.at(-1)).toMatchObject({ msg: 'refused', address: '192.0.2.2' })
})

test('request log: a busy or full server says so 20 times a minute to one client, and each fault once', () => {
  const { log, lines } = openMemoryLog()
  const logRequest = requestLogger(log)
  for (const status of [503, 507, 500]) for (let n = 0; n < 30; n++) logRequest({ ...REQUEST, status })
  const errors = lines.filter(({ level }) => level === ERROR)
  expect(errors.filter(({ status }) => status === 500)).toHaveLength(30)
  expect(errors.filter(({ status }) => status !== 500)).toHaveLength(20)
})

describe('request log: at info', () => {
  /** Returns the lines at info that `act` causes, which are so many. */
  async function linesOf(
    count: number,
    act: (server: AccountsServer, admin: ReturnType<AccountsServer['as']>) => Promise<unknown>,
  ) {
    await using server = await startWithAccounts()
    const admin = server.as(basic('admin'))
    await expectStatus(await admin.fetch('/v2/'), 200)
    const before = server.log().length
    await act(server, admin)
    const lines = () =>
      server
        .log()
        .slice(before)
        .filter(({ level }) => level === INFO)
    // The API writes its lines after its responses.
    await until(() => lines().length >= count)
    await expectStatus(await admin.fetch('/v2/'), 200)
    expect(lines()).toHaveLength(count)
    return lines()
  }

  test('a push is one line, with the bytes and the time of its uploads', async () => {
    const layer = randomBlob(3000)
    const image = imageManifest(EMPTY, [layer])
    const headers = { 'user-agent': 'docker/27' }
    const lines = await linesOf(1, (_, admin) =>
      pushImage(admin, 'team/app', image, [layer], { reference: 'v1', headers }),
    )
    const bytes = EMPTY.bytes.length + layer.bytes.length + image.bytes.length
    expect(lines).toEqual([
      {
        level: INFO,
        time: expect.any(Number),
        repository: 'team/app',
        tags: ['v1'],
        digest: image.digest,
        bytes,
        account: 'admin',
        address: '127.0.0.1',
        client: 'docker/27',
        milliseconds: expect.any(Number),
        requestId: expect.any(String),
        msg: 'pushed',
      },
    ])
  })

  test('pulls, uploads and challenges are not logged', async () => {
    const image = imageManifest(EMPTY, [])
    const lines = await linesOf(1, async (server, admin) => {
      await pushImage(admin, 'app', image, [], { reference: 'v1' })
      await expectStatus(await admin.fetch('/v2/app/manifests/v1'), 200)
      await expectStatus(await admin.fetch('/v2/app/manifests/v2'), 404)
      await expectStatus(await server.fetch('/v2/'), 401)
      await expectStatus(await server.fetch('/v2/app/blobs/uploads/', { method: 'POST' }), 401)
    })
    expect(lines.map(({ msg }) => msg)).toEqual(['pushed'])
  })

  test('a delete and a change by the API are one line each', async () => {
    const image = imageManifest(EMPTY, [])
    const lines = await linesOf(4, async (server, admin) => {
      await pushImage(admin, 'app', image, [], { reference: 'v1' })
      await expectStatus(await admin.fetch('/v2/app/manifests/v1', { method: 'DELETE' }), 202)
      await server.addUser('alice')
      await server.admin('DELETE', '/users/alice')
    })
    const who = { account: 'admin', address: '127.0.0.1' }
    expect(lines.slice(1)).toMatchObject([
      { msg: 'deleted', repository: 'app', tags: ['v1'], ...who },
      { msg: 'changed', method: 'PUT', path: '/api/v1/users/alice', ...who },
      { msg: 'deleted', method: 'DELETE', path: '/api/v1/users/alice', ...who },
    ])
  })

  test('a refusal is one line that says who, what and why', async () => {
    const lines = await linesOf(5, async (server, admin) => {
      await server.addUser('alice')
      const alice = server.as(basic('alice'))
      await expectStatus(await alice.fetch('/v2/team/app/blobs/uploads/', { method: 'POST' }), 403)
      await expectStatus(await alice.fetch('/api/v1/storage'), 403)
      await expectStatus(await putManifest(admin, 'app', named('{}'), { reference: 'v1' }), 400)
    })
    expect(lines).toMatchObject([
      { msg: 'changed' },
      { msg: 'signed in', account: 'alice', address: '127.0.0.1', credential: 'password' },
      { msg: 'refused', account: 'alice', method: 'POST', path: '/v2/team/app/blobs/uploads/', status: 403 },
      { msg: 'refused', account: 'alice', method: 'GET', path: '/api/v1/storage', status: 403 },
      { msg: 'refused', account: 'admin', path: '/v2/app/manifests/v1', error: expect.any(String) },
    ])
  })

  test('a failed sign-in is one line, and a successful one is logged once an hour for an account and an address', async () => {
    const lines = await linesOf(3, async (server, admin) => {
      const { secret } = await server.addToken('admin')
      for (const password of [secret, 'wrong', `${secret}x`]) {
        await server.as(basic('admin', password)).fetch('/token')
      }
      await expectStatus(await admin.fetch('/v2/'), 200)
    })
    const who = { account: 'admin', address: '127.0.0.1' }
    expect(lines).toMatchObject([
      { msg: 'changed' },
      { msg: 'failed sign-in', credential: 'password', ...who },
      { msg: 'failed sign-in', credential: 'token', ...who },
    ])
  })
})
