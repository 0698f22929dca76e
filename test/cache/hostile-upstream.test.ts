import { expect, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { startCache } from '../support/cache.ts'
import { imageManifest, json, randomBlob } from '../support/content.ts'
import { head, reply, type Step } from '../support/upstream.ts'

const LIMITS = 'first-byte-seconds-max = 2\nstall-seconds-max = 1'
const never = () => new Promise(() => {})
const chunk = (text: string): Step[] => [`${text.length.toString(16)}\r\n`, text, '\r\n']
const chunked = head(200, { 'transfer-encoding': 'chunked' })

/** Headers that never end, or are larger than those of any registry. */
const HEADERS: [name: string, steps: () => Step[]][] = [
  ['without an end', () => ['HTTP/1.1 200 OK\r\n', ...lines(100), never()]],
  ['of 20 MB', () => ['HTTP/1.1 200 OK\r\n', ...lines(20_000), '\r\n', 'fin']],
]

function lines(count: number): Step[] {
  return Array.from({ length: count }, (_, at) => `x-${at}: ${'x'.repeat(1000)}\r\n`)
}

test.each(HEADERS)(
  'cache: an upstream that sends headers %s gets a client its status in time',
  async (_, steps) => {
    await using cache = await startCache({ cache: LIMITS })
    const { layer } = cache.fake.putImage('library/app', '1')
    cache.fake.on(/library/, steps)
    const paths = ['manifests/1', `blobs/${layer.digest}`, 'tags/list']
    for (const response of await Promise.all(paths.map((path) => cache.get(path)))) {
      expect([502, 503, 504]).toContain(response.status)
    }
    cache.fake.heal()
  },
)

test('cache: a compressed response is not decompressed, because its digest names other content', async () => {
  await using cache = await startCache({ cache: LIMITS })
  const layer = randomBlob(100_000)
  const manifest = imageManifest(json({}), [layer])
  const bomb = gzipSync(new Uint8Array(50_000_000))
  cache.fake.putManifest('library/app', '1', manifest)
  cache.fake.on(/manifests\/2/, () => reply(200, { 'content-encoding': 'gzip' }, gzipSync(manifest.bytes)))
  cache.fake.on(/blobs/, () => reply(200, { 'content-encoding': 'gzip' }, bomb))
  expect((await cache.get('manifests/2')).status).toBe(502)
  expect((await cache.get('manifests/1')).status).toBe(200)
  expect((await cache.get(`blobs/${layer.digest}`)).status).toBe(502)
  for (const { headers } of cache.fake.log) expect(headers['accept-encoding'] ?? 'identity').toBe('identity')
})

test.each([
  ['999999999', 21_600],
  ['Fri, 31 Dec 9999 23:59:59 GMT', 21_600],
  ['-5', 60],
  ['soon', 60],
])('cache: a Retry-After of %s is passed on as at most %d seconds', async (value, most) => {
  await using cache = await startCache()
  cache.fake.on(/manifests/, () => reply(429, { 'retry-after': value }, ''))
  const response = await cache.get('manifests/1')
  expect(response.status).toBe(429)
  const seconds = Number(response.headers.get('retry-after'))
  expect(seconds).toBeGreaterThan(0)
  expect(seconds).toBeLessThanOrEqual(most)
})

test('cache: the response of a token service is read up to its limit only', async () => {
  await using cache = await startCache({ cache: LIMITS })
  const { fake } = cache
  fake.putImage('library/app', '1')
  fake.auth = { header: 'Bearer secret', challenge: `Bearer realm="${fake.url}/token"` }
  fake.on(/\/token/, () => [chunked, ...chunk('x'.repeat(300_000)), never()])
  expect((await cache.get('manifests/1')).status).toBe(502)
})

test.each([
  ['entries', 'tags/list', { name: 'library/app', tags: Array.from({ length: 60_000 }, (_, at) => `${at}`) }],
  ['nested entries', 'tags/list', { tags: Array.from({ length: 60_000 }, () => [[]]) }],
])('cache: a list of tags with too many %s is refused before it is parsed', async (_, path, list) => {
  await using cache = await startCache()
  cache.fake.on(/tags\/list/, () => reply(200, {}, JSON.stringify(list)))
  const response = await cache.get(path)
  expect(response.status).toBe(502)
  expect(await response.text()).toContain('more than 50000')
})

test('cache: an endless list of tags costs an upstream one request for each page that a client requests', async () => {
  await using cache = await startCache()
  cache.fake.on(/tags\/list/, ({ path }) => {
    const last = Number(new URL(path, 'http://x').searchParams.get('last') ?? 0)
    const link = { link: `</v2/library/app/tags/list?n=1&last=${last + 1}>; rel="next"` }
    return reply(200, link, JSON.stringify({ tags: [`${last + 1}`] }))
  })
  let path: string | undefined = 'tags/list?n=1'
  for (let pages = 0; pages < 5; pages++) {
    const response = await cache.get(path ?? '')
    expect(await response.json()).toMatchObject({ tags: [`${pages + 1}`] })
    path = /<[^>]*\/(tags\/list[^>]*)>/.exec(response.headers.get('link') ?? '')?.[1]
  }
  // cay asks for the page that its client wants, and never for all pages of an endless list.
  expect(cache.fake.requests(/tags\/list/)).toHaveLength(5)
})

test('cache: many large manifests at once take a bounded amount of memory; clients beyond it are told to try later', async () => {
  await using cache = await startCache({ cache: 'first-byte-seconds-max = 20' })
  const gate = Promise.withResolvers<void>()
  const most = 'x'.repeat(3_900_000)
  cache.fake.putImage('library/app', 'small')
  cache.fake.on(/manifests\/large/, () => [chunked, ...chunk(most), gate.promise, '0\r\n\r\n'])
  const clients = Array.from({ length: 20 }, (_, at) => cache.get(`manifests/large-${at}`))
  const refused = await Promise.race(clients)
  expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true])
  expect((await cache.get('manifests/small')).status).toBe(200)
  gate.resolve()
  const statuses = (await Promise.all(clients)).map(({ status }) => status)
  expect(statuses.filter((status) => status === 502).length).toBeLessThanOrEqual(9)
  expect((await cache.get('manifests/large-20')).status).toBe(502)
})
