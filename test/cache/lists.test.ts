import { describe, expect, test } from 'bun:test'
import { startCache, type TestCache } from '../support/cache.ts'
import { named } from '../support/content.ts'
import { reply } from '../support/upstream.ts'

const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
const TAGS = ['a', 'B', 'c', 'D', 'e']

/** How registries divide their lists into pages, by what is known of them. */
const registries: Record<string, (query: URLSearchParams) => { tags: string[]; next?: string }> = {
  'continues at last': (query) => {
    const tags = after(query.get('last')).slice(0, Number(query.get('n')))
    return { tags, ...(tags.at(-1) !== 'e' && { next: `n=${query.get('n')}&last=${tags.at(-1)}` }) }
  },
  'has smaller pages than requested': (query) => {
    const tags = after(query.get('last')).slice(0, 1)
    return { tags, ...(tags.at(-1) !== 'e' && { next: `last=${tags.at(-1)}` }) }
  },
  'has cursors of its own': (query) => {
    const from = Number(query.get('next_page') ?? 0)
    const tags = TAGS.slice(from, from + 2)
    return { tags, ...(from + 2 < TAGS.length && { next: `next_page=${from + 2}` }) }
  },
  'has cursors of its own, and larger pages than requested': (query) => {
    const from = Number(query.get('next_page') ?? 0)
    const tags = TAGS.slice(from, from + 3)
    return { tags, ...(from + 3 < TAGS.length && { next: `next_page=${from + 3}` }) }
  },
  'has an empty page': (query) => {
    const page = Number(query.get('page') ?? 0)
    const tags = [['a', 'B'], [], ['c', 'D', 'e']][page] ?? []
    return { tags, ...(page < 2 && { next: `page=${page + 1}` }) }
  },
  'links to the page that it has sent': () => ({ tags: TAGS, next: 'n=2' }),
  'returns all tags, whatever is requested': () => ({ tags: TAGS }),
}

describe('cache: all tags are listed once, in the order of the upstream, if it', () => {
  test.each(Object.entries(registries))('%s', async (_, pageOf) => {
    await using cache = await startCache()
    cache.fake.on(/tags\/list/, ({ path }) => {
      const { tags, next } = pageOf(new URL(path, 'http://x').searchParams)
      const headers = next === undefined ? {} : { link: `</v2/library/app/tags/list?${next}>; rel="next"` }
      return reply(200, headers, JSON.stringify({ name: 'library/app', tags }))
    })
    expect(await allPages(cache, 'tags/list?n=2', 'tags')).toEqual(TAGS)
  })
})

test('cache: while the upstream is down, the cached tags are listed in pages, with a warning', async () => {
  await using cache = await startCache()
  for (const tag of ['1', '2', '3']) {
    cache.fake.putImage('library/app', tag)
    await cache.get(`manifests/${tag}`)
  }
  cache.fake.on(/tags\/list/, () => reply(503, {}, ''))
  const response = await cache.get('tags/list?n=2')
  expect(await response.json()).toMatchObject({ tags: ['1', '2'] })
  expect(response.headers.get('warning')).toBe(
    '299 - "the list of tags of up.example/library/app shows only what is cached: up.example does not answer"',
  )
  expect(await allPages(cache, 'tags/list?n=2', 'tags')).toEqual(['1', '2', '3'])
})

test('cache: referrers of all pages of the upstream are listed', async () => {
  await using cache = await startCache()
  cache.fake.on(/referrers/, ({ path }) => {
    const page = Number(new URL(path, 'http://x').searchParams.get('page') ?? 0)
    const link = { link: `</v2/library/app/referrers/any?page=${page + 1}>; rel="next"` }
    return reply(
      200,
      { 'content-type': OCI_INDEX, ...(page < 2 && link) },
      indexOf([`${page}-1`, `${page}-2`]),
    )
  })
  const digests = ['0-1', '0-2', '1-1', '1-2', '2-1', '2-2'].map((text) => named(text).digest)
  const listed = await allPages(cache, `referrers/${named('subject').digest}`, 'manifests')
  expect(listed.map((one) => (one as { digest: string }).digest)).toEqual(digests)
})

test('cache: more than 1,000 referrers are listed in pages, also with a filter', async () => {
  await using cache = await startCache()
  const names = Array.from({ length: 1500 }, (_, at) => `${at}`)
  cache.fake.on(/referrers/, () => reply(200, { 'content-type': OCI_INDEX }, indexOf(names)))
  const path = `referrers/${named('subject').digest}?artifactType=application/vnd.example.sbom`
  const first = await cache.get(path)
  expect(first.headers.get('oci-filters-applied')).toBe('artifactType')
  expect(((await first.json()) as { manifests: unknown[] }).manifests).toHaveLength(1000)
  expect(await allPages(cache, path, 'manifests')).toHaveLength(1500)
})

test('cache: a long list of referrers is read in parts, and the links lead to all of it', async () => {
  await using cache = await startCache()
  cache.fake.on(/referrers/, ({ path }) => {
    const page = Number(new URL(path, 'http://x').searchParams.get('page') ?? 0)
    const link = { link: `</v2/library/app/referrers/any?page=${page + 1}>; rel="next"` }
    return reply(200, { 'content-type': OCI_INDEX, ...(page < 49 && link) }, indexOf([`${page}`]))
  })
  const path = `referrers/${named('subject').digest}`
  const first = await cache.get(path)
  expect(((await first.json()) as { manifests: unknown[] }).manifests).toHaveLength(20)
  expect(cache.fake.requests(/referrers/)).toHaveLength(20)
  expect(await allPages(cache, path, 'manifests')).toHaveLength(50)
  const filtered = `${path}?artifactType=application/vnd.example.other`
  expect(await allPages(cache, filtered, 'manifests')).toEqual([])
  expect(cache.fake.requests(/referrers/)).toHaveLength(50)
})

test('cache: a response with referrers is not much larger than a page of the upstream', async () => {
  await using cache = await startCache()
  cache.fake.on(/referrers/, ({ path }) => {
    const page = Number(new URL(path, 'http://x').searchParams.get('page') ?? 0)
    const link = { link: `</v2/library/app/referrers/any?page=${page + 1}>; rel="next"` }
    const index = indexOf([`${page}`], { padding: 'x'.repeat(3_000_000) })
    return reply(200, { 'content-type': OCI_INDEX, ...(page < 2 && link) }, index)
  })
  const path = `referrers/${named('subject').digest}`
  const first = await (await cache.get(path)).text()
  expect(first.length).toBeLessThan(4_000_000)
  expect(await allPages(cache, path, 'manifests')).toHaveLength(3)
})

test('cache: referrers that were read before a page failed are listed, with a link to the others', async () => {
  await using cache = await startCache()
  const link = { link: '</v2/library/app/referrers/any?page=1>; rel="next"' }
  cache.fake.on(/referrers/, () => reply(200, { 'content-type': OCI_INDEX }, indexOf(['second'])))
  cache.fake.on(/referrers/, () => reply(500, {}, ''), 2)
  cache.fake.on(/referrers/, () => reply(200, { 'content-type': OCI_INDEX, ...link }, indexOf(['first'])), 1)
  const path = `referrers/${named('subject').digest}`
  const response = await cache.get(path)
  expect(await response.json()).toMatchObject({ manifests: [{ digest: named('first').digest }] })
  const next = /(referrers\/[^>]*)>/.exec(response.headers.get('link') ?? '')?.[1] ?? ''
  expect((await cache.get(next)).status).toBe(503)
  expect(await (await cache.get(next)).json()).toMatchObject({
    manifests: [{ digest: named('second').digest }],
  })
})

describe('cache: without the upstream, referrers', () => {
  test('of a cached image are the cached ones, with a warning', async () => {
    await using cache = await startCache()
    const { manifest } = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    cache.fake.on(/referrers/, () => reply(503, {}, ''))
    const response = await cache.get(`referrers/${manifest.digest}`)
    expect([response.status, await response.json()]).toEqual([
      200,
      expect.objectContaining({ manifests: [] }),
    ])
    expect(response.headers.get('warning')).toContain('shows only what is cached: up.example does not answer')
  })

  test('of what is not cached are refused, because an empty list would say that there are none', async () => {
    await using cache = await startCache()
    cache.fake.on(/referrers/, () => reply(503, {}, ''))
    expect((await cache.get(`referrers/${named('subject').digest}`)).status).toBe(503)
    cache.fake.on(/referrers/, () => reply(200, {}, '<html>sign in</html>'))
    expect((await cache.get(`referrers/${named('other').digest}`)).status).toBe(502)
  })
})

test('cache: n=0 lists no tags of a repository of which nothing is cached, if the upstream has it', async () => {
  await using cache = await startCache()
  cache.fake.on(/library\/app\/tags\/list/, () => reply(200, {}, JSON.stringify({ tags: TAGS })))
  const response = await cache.get('tags/list?n=0')
  expect([response.status, await response.json()]).toEqual([200, expect.objectContaining({ tags: [] })])
  expect(response.headers.get('link')).toBeNull()
})

test('cache: a list is read again after the time that is set for its upstream', async () => {
  let now = Date.UTC(2026, 0, 1)
  await using cache = await startCache({ upstream: 'fresh-seconds = 10', now: () => now })
  cache.fake.on(/tags\/list/, () => reply(200, {}, JSON.stringify({ tags: TAGS })))
  for (const seconds of [0, 9, 2]) {
    now += seconds * 1000
    await cache.get('tags/list')
  }
  expect(cache.fake.requests(/tags\/list/)).toHaveLength(2)
})

test.each([
  ['gone = "drop"', 404, 404],
  ['refused = "refuse"', 403, 403],
  ['gone = "keep"', 404, 200],
  ['refused = "serve"', 403, 200],
])('cache: with %s, tags/list gives, when the upstream says %d, %d', async (upstream, status, expected) => {
  await using cache = await startCache({ upstream })
  cache.fake.putImage('library/app', '1')
  await cache.get('manifests/1')
  cache.fake.on(/tags\/list/, () => reply(status, {}, ''))
  expect((await cache.get('tags/list')).status).toBe(expected)
})

function after(last: string | null): string[] {
  return last === null ? TAGS : TAGS.slice(TAGS.indexOf(last) + 1)
}

function indexOf(names: string[], annotations: Record<string, string> = {}): string {
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  const artifactType = 'application/vnd.example.sbom'
  const manifests = names.map((name) => ({
    mediaType,
    artifactType,
    digest: named(name).digest,
    size: 1,
    annotations,
  }))
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests })
}

/** Returns the entries of all pages, followed by their links. */
async function allPages(cache: TestCache, path: string, member: string): Promise<unknown[]> {
  const entries: unknown[] = []
  let next: string | undefined = path
  for (let pages = 0; next !== undefined && pages < 10; pages++) {
    const response = await cache.get(next)
    expect(response.status).toBe(200)
    entries.push(...((await response.json()) as Record<string, unknown[]>)[member]!)
    next = /<[^>]*\/((?:tags|referrers)\/[^>]*)>/.exec(response.headers.get('link') ?? '')?.[1]
  }
  return entries
}
