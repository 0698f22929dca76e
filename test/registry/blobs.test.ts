import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { digestOf, named, randomBlob } from '../support/content.ts'
import { pushBlob } from '../support/push.ts'
import { runScenarios, type Scenario } from '../support/scenario.ts'
import { SERVERS, type TestServer } from '../support/server.ts'

const small = named('0123456789')
/** More than the server buffers in memory, and not a round number. */
const large = randomBlob(3_000_001)
const empty = named('')
const unknown = digestOf(named('unknown').bytes)
const etag = `"${small.digest}"`
const path = `/v2/a/b/blobs/${small.digest}`

const WHOLE = {
  'content-type': 'application/octet-stream',
  'content-length': '10',
  'docker-content-digest': small.digest,
  etag,
  'accept-ranges': 'bytes',
  // A page cannot load it as a script or style sheet.
  'x-content-type-options': 'nosniff',
}

const ranges: Scenario[] = (
  [
    ['bytes=2-4', '2-4', '234'],
    ['bytes=2-', '2-9', '23456789'],
    ['bytes=-3', '7-9', '789'],
    ['bytes=5-99', '5-9', '56789'],
    ['bytes=0-0', '0-0', '0'],
    ['bytes=-99', '0-9', '0123456789'],
  ] as const
).map(([range, answered, content]) => ({
  name: `${range} is a part`,
  path,
  headers: { range },
  status: 206,
  has: { ...WHOLE, 'content-range': `bytes ${answered}/10`, 'content-length': `${content.length}` },
  content: named(content),
}))

const scenarios: Scenario[] = [
  { name: 'GET', path, status: 200, has: WHOLE, lacks: ['content-range'], content: small },
  {
    name: 'HEAD says the length of what GET sends',
    method: 'HEAD',
    path,
    status: 200,
    has: WHOLE,
    content: '',
  },
  {
    name: 'HEAD of a large one',
    method: 'HEAD',
    path: `/v2/a/b/blobs/${large.digest}`,
    status: 200,
    has: { 'content-length': `${large.bytes.length}` },
  },
  {
    name: 'GET of a large one',
    path: `/v2/a/b/blobs/${large.digest}`,
    status: 200,
    has: { 'content-length': '3000001' },
    content: large,
  },
  {
    name: 'a part of a large one',
    path: `/v2/a/b/blobs/${large.digest}`,
    headers: { range: 'bytes=1000000-2999999' },
    status: 206,
    has: { 'content-range': 'bytes 1000000-2999999/3000001', 'content-length': '2000000' },
    content: large.bytes.subarray(1_000_000, 3_000_000),
  },
  ...ranges,
  ...['bytes=10-', 'bytes=10-20', 'bytes=5-0', 'bytes=-0'].map((range) => ({
    name: `${range} is not within it`,
    path,
    headers: { range },
    status: 416,
    has: { 'content-range': 'bytes */10' },
    codes: ['SIZE_INVALID'],
  })),
  ...['bytes=0-1,3-4', 'lines=1-2', 'bytes=x'].map((range) => ({
    name: `${range} is ignored`,
    path,
    headers: { range },
    status: 200,
    has: WHOLE,
    content: small,
  })),
  {
    name: 'Range goes with GET only',
    method: 'HEAD',
    path,
    headers: { range: 'bytes=2-4' },
    status: 200,
    has: WHOLE,
    lacks: ['content-range'],
  },
  {
    name: 'If-Range of this content',
    path,
    headers: { range: 'bytes=2-4', 'if-range': etag },
    status: 206,
    content: named('234'),
  },
  {
    name: 'If-Range of other content sends all',
    path,
    headers: { range: 'bytes=2-4', 'if-range': '"other"' },
    status: 200,
    content: small,
  },
  ...[etag, `W/${etag}`, `"other", ${etag}`, '*'].map((value) => ({
    name: `If-None-Match: ${value} is 304`,
    path,
    headers: { 'if-none-match': value },
    status: 304,
    has: { etag, 'docker-content-digest': small.digest },
    content: '' as const,
  })),
  {
    name: 'If-None-Match of other content',
    path,
    headers: { 'if-none-match': '"other"' },
    status: 200,
    content: small,
  },
  {
    name: 'the empty blob',
    path: `/v2/a/b/blobs/${empty.digest}`,
    status: 200,
    has: { 'content-length': '0', 'docker-content-digest': empty.digest },
    content: '',
  },
  {
    name: 'HEAD of the empty blob',
    method: 'HEAD',
    path: `/v2/a/b/blobs/${empty.digest}`,
    status: 200,
    has: { 'content-length': '0' },
  },
  {
    name: 'a range of the empty blob',
    path: `/v2/a/b/blobs/${empty.digest}`,
    headers: { range: 'bytes=0-' },
    status: 416,
    has: { 'content-range': 'bytes */0' },
  },
  {
    name: 'an unknown blob',
    path: `/v2/a/b/blobs/${unknown}`,
    status: 404,
    codes: ['BLOB_UNKNOWN'],
    lacks: ['etag', 'docker-content-digest'],
  },
  {
    name: 'an unknown repository',
    path: `/v2/c/blobs/${small.digest}`,
    status: 404,
    codes: ['NAME_UNKNOWN'],
  },
  {
    name: 'a blob is reached only through its repository',
    path: `/v2/other/blobs/${small.digest}`,
    status: 404,
    codes: ['BLOB_UNKNOWN'],
  },
  {
    name: 'an algorithm that is not verified',
    path: '/v2/a/b/blobs/md5:d41d8cd98f00b204e9800998ecf8427e',
    status: 400,
    codes: ['DIGEST_INVALID'],
  },
  { name: 'unknown parameters are ignored', path: `${path}?a=b&ns=`, status: 200, content: small },
]

for (const [kind, start] of SERVERS) {
  describe(`blobs, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
      for (const blob of [small, large, empty]) await pushBlob(server, 'a/b', blob)
      await pushBlob(server, 'other', large)
    }, 60_000)
    afterAll(() => server.stop())

    runScenarios(() => server, scenarios)

    test('ns of this host is ignored, any other is 404', async () => {
      const own = await server.fetch(`${path}?ns=${new URL(server.url).host}`)
      expect([own.status, await own.text()]).toEqual([200, '0123456789'])
      for (const [method, status] of [
        ['GET', 404],
        ['HEAD', 404],
        ['DELETE', 404],
      ] as const) {
        expect((await server.fetch(`${path}?ns=docker.io`, { method })).status).toBe(status)
      }
      const other = await server.fetch(`${path}?ns=docker.io`)
      expect(await other.text()).toContain('NAME_UNKNOWN')
      expect((await server.fetch(path)).status).toBe(200)
    })
  })
}
