import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushBlob, pushManifest, putManifest } from '../support/push.ts'
import { runScenarios } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const [first, second] = ['1', '2'].map((n) => imageManifest(EMPTY, [], { annotations: { n } })) as [
  ReturnType<typeof imageManifest>,
  ReturnType<typeof imageManifest>,
]
const etag = `"${first.digest}"`
const path = '/v2/a/manifests/kept'

describe('preconditions', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess()
    await pushBlob(server, 'a', EMPTY)
    await pushManifest(server, 'a', first, { reference: 'kept' })
  })
  afterAll(() => server.stop())

  runScenarios(
    () => server,
    [
      ...[etag, `W/${etag}`, `"x", ${etag}`, '*'].flatMap((value) =>
        ['GET', 'HEAD'].map((method) => ({
          name: `${method} with If-None-Match: ${value} is 304`,
          method,
          path,
          headers: { 'if-none-match': value },
          status: 304,
          has: { etag, 'docker-content-digest': first.digest },
          content: '' as const,
        })),
      ),
      {
        name: 'If-None-Match of another one',
        path,
        headers: { 'if-none-match': `"${second.digest}"` },
        status: 200,
        content: first,
      },
      {
        name: 'If-None-Match: * on a push keeps what is there, and says what',
        method: 'PUT',
        path,
        headers: { 'if-none-match': '*', 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
        body: second,
        status: 412,
        codes: ['DENIED'],
        has: { etag },
        content: /"kept\\" is at sha256/,
      },
      { name: 'and it is there', path, status: 200, content: first },
      { name: 'and the other one is not', path: `/v2/a/manifests/${second.digest}`, status: 404 },
    ],
  )

  const put = (reference: string, headers: Record<string, string>) =>
    putManifest(server, 'a', second, { reference, headers }).then(({ status }) => status)

  test('If-Match: a push replaces only the manifest that the client has seen', async () => {
    await pushManifest(server, 'a', first, { reference: 'match' })
    expect(await put('match', { 'if-match': `"${second.digest}"` })).toBe(412)
    expect(await put('none', { 'if-match': '*' })).toBe(412)
    expect(await put('none', { 'if-match': etag })).toBe(412)
    expect(await put('match', { 'if-match': `"other", ${etag}` })).toBe(201)
    expect(await put('match', { 'if-match': etag })).toBe(412)
    expect((await server.fetch('/v2/a/manifests/none')).status).toBe(404)
  })

  test('If-None-Match: * creates a tag once, however many clients try', async () => {
    const tries = Array.from({ length: 20 }, () => put('once', { 'if-none-match': '*' }))
    expect((await Promise.all(tries)).sort()).toEqual([201, ...Array(19).fill(412)])
  })

  test('If-Match: a delete removes only what the client has seen', async () => {
    await pushManifest(server, 'a', first, { reference: 'delete' })
    const remove = async (value: string) =>
      (await server.fetch('/v2/a/manifests/delete', { method: 'DELETE', headers: { 'if-match': value } }))
        .status
    expect(await remove(`"${second.digest}"`)).toBe(412)
    expect((await server.fetch('/v2/a/manifests/delete')).status).toBe(200)
    expect(await remove(etag)).toBe(202)
    expect((await server.fetch('/v2/a/manifests/delete')).status).toBe(404)
  })

  test('If-Match: if one tag of a push fails it, no tag moves', async () => {
    await pushManifest(server, 'a', first, { reference: 'taken' })
    expect(await put(`${second.digest}?tag=free&tag=taken`, { 'if-none-match': '*' })).toBe(412)
    expect((await server.fetch('/v2/a/manifests/free')).status).toBe(404)
    expect(await put(`${second.digest}?tag=free&tag=other`, { 'if-none-match': '*' })).toBe(201)
  })
})
