import { describe, expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { named } from '../support/content.ts'
import { type Answer, head, reply, type Step } from '../support/upstream.ts'

const LIMITS = 'deadline-milliseconds = 300\nfirst-byte-seconds-max = 1\nstall-seconds-max = 1'
const TYPE = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
const never = (): Promise<unknown> => new Promise(() => {})
const part = '{"schemaVersion":2,'
const chunk = (text: string): Step[] => [`${text.length.toString(16)}\r\n`, text, '\r\n']
const cut = (end: Step): Step[] => [head(200, { ...TYPE, 'content-length': '500' }), part, end]
const chunked = head(200, { ...TYPE, 'transfer-encoding': 'chunked' })

/** How an upstream fails each request for a manifest, and the status without a cached copy. */
const FAULTS: [name: string, answer: Answer, status: number][] = [
  ['closes without a response', () => ['fin'], 503],
  ['resets', () => ['reset'], 503],
  ['closes in the body', () => cut('fin'), 503],
  ['resets in the body', () => cut('reset'), 503],
  ['omits the last chunk', () => [chunked, ...chunk(part), 'fin'], 503],
  ['is silent', () => [never()], 504],
  ['stalls in the body', () => cut(never()), 504],
  ['sends an endless body', () => [chunked, ...chunk('x'.repeat(5_000_000)), never()], 502],
  ['sends a web page', () => reply(200, { 'content-type': 'text/html' }, '<html>sign in</html>'), 502],
  ['sends an empty body', () => reply(200, TYPE, ''), 502],
  [
    'names a digest that does not match its bytes',
    () => reply(200, { ...TYPE, 'docker-content-digest': named('other').digest }, `${part}"layers":[]}`),
    502,
  ],
  ['says 401', () => reply(401, { 'www-authenticate': 'Basic' }, ''), 403],
  ['says 403', () => reply(403, {}, ''), 403],
  ['responds with 404, because its repository was deleted', () => reply(404, {}, ''), 404],
  ['responds with 429 and Retry-After', () => reply(429, { 'retry-after': '9' }, ''), 429],
  ['responds with 429 without Retry-After', () => reply(429, {}, ''), 429],
  ['says 500', () => reply(500, {}, ''), 503],
  ['says 503', () => reply(503, {}, ''), 503],
  ['redirects to a metadata service', () => reply(307, { location: 'http://169.254.169.254/' }, ''), 502],
  ['redirects without end', ({ path }) => reply(307, { location: path }, ''), 502],
]

describe('cache: a tag without a cached copy, whose upstream', () => {
  test.each(FAULTS)('%s, gets the right status in time', async (_, answer, status) => {
    await using cache = await startCache({ cache: LIMITS })
    cache.fake.on(/manifests/, answer)
    const response = await cache.get('manifests/1')
    expect(response.status).toBe(status)
    expect(response.headers.has('www-authenticate')).toBe(false)
    if ([429, 503, 504].includes(status)) expect(response.headers.get('retry-after')).not.toBeNull()
    expect(((await response.json()) as { errors: unknown[] }).errors).toHaveLength(1)
  })
})

describe('cache: a cached tag is served, with a Warning, when the upstream', () => {
  test.each(FAULTS)('%s', async (_, answer) => {
    let now = Date.UTC(2026, 0, 1)
    await using cache = await startCache({ cache: LIMITS, now: () => now })
    const { manifest } = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    // The tag has moved, so that the test also covers what only a GET shows.
    const moved = { ...TYPE, 'docker-content-digest': named('moved').digest }
    cache.fake.on(/^GET .*manifests/, answer)
    cache.fake.on(/^HEAD .*manifests/, () => [head(200, { ...moved, 'content-length': '500' })])
    now += 10_000_000
    await expectCopy()
    cache.fake.on(/^HEAD .*manifests/, answer)
    now += 10_000_000
    await expectCopy()

    async function expectCopy(): Promise<void> {
      const response = await cache.get('manifests/1')
      expect(response.status).toBe(200)
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
      const words = '299 - "up.example/library/app:1 is as of 2026-01-01T00:00:00Z: up.example '
      expect(response.headers.get('warning')).toStartWith(words)
    }
  })
})
