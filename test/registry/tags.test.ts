import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushBlob, pushManifest } from '../support/push.ts'
import { runScenarios } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const manifest = imageManifest(EMPTY, [])
/** In byte order: digits, uppercase, underscore, lowercase. */
const TAGS = [
  '0',
  '1',
  '10',
  '2',
  'A',
  'Z',
  '_',
  'a',
  'a-',
  'a.b',
  'a_',
  'aa',
  'b',
  'latest',
  'z'.repeat(128),
]
const NAMES = ['a', 'a-b', 'a.b', 'a/b', 'a/b/c', 'a0', 'b', 'empty', 'z']

describe('lists', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess({ settings: { 'lists.page-max': '6' } })
    for (const name of [...NAMES].reverse()) await pushBlob(server, name, EMPTY)
    await pushManifest(server, 'a/b', manifest, {
      reference: `${manifest.digest}?${[...TAGS]
        .reverse()
        .map((tag) => `tag=${tag}`)
        .join('&')}`,
    })
  })
  afterAll(() => server.stop())

  /** Follows Link to the last page; returns all pages. */
  const pagesOf = async (first: string, key: 'tags' | 'repositories'): Promise<string[][]> => {
    const pages: string[][] = []
    for (let next: string | undefined = first; next !== undefined; ) {
      const response = await server.fetch(next)
      pages.push(((await response.json()) as Record<string, string[]>)[key] ?? [])
      next = /^<(\/v2\/[^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
      expect(response.headers.has('link')).toBe(next !== undefined)
    }
    return pages
  }
  const chunks = (list: string[], size: number) =>
    Array.from({ length: Math.ceil(list.length / size) }, (_, n) => list.slice(n * size, (n + 1) * size))

  test.each([
    ['', 6],
    ['?n=6', 6],
    ['?n=1000', 6],
    ['?n=5', 5],
    ['?n=4', 4],
    ['?n=1', 1],
  ])('tags/list%s, and Link to the end, is all tags in byte order', async (query, size) => {
    expect(await pagesOf(`/v2/a/b/tags/list${query}`, 'tags')).toEqual(chunks(TAGS, size))
  })

  test.each([
    ['', 6],
    ['?n=3', 3],
    ['?n=1', 1],
  ])('_catalog%s, and Link to the end, is all repositories in byte order', async (query, size) => {
    expect(await pagesOf(`/v2/_catalog${query}`, 'repositories')).toEqual(chunks(NAMES, size))
  })

  const list = (query: string, tags: string[], link = false) => ({
    name: `tags/list?${query}`,
    path: `/v2/a/b/tags/list?${query}`,
    status: 200,
    content: { name: 'a/b', tags },
    ...(link ? { has: { link: /^<\/v2\/a\/b\/tags\/list\?.*>; rel="next"$/ } } : { lacks: ['link'] }),
  })
  runScenarios(
    () => server,
    [
      list('n=0', []),
      list('n=0&last=a', []),
      list('last=b', ['latest', 'z'.repeat(128)]),
      list('last=latest', ['z'.repeat(128)]),
      list(`last=${'z'.repeat(128)}`, []),
      list('last=nothing-like-it&n=3', ['z'.repeat(128)]),
      list('n=2&last=A', ['Z', '_'], true),
      list('n=2&last=a_', ['aa', 'b'], true),
      list('n=3&last=aa', ['b', 'latest', 'z'.repeat(128)]),
      list('n=1&last=%00', ['0'], true),
      ...['-1', 'x', '1.5', '', '1e3', '99999999999999'].map((n) => ({
        name: `n=${n} is no number of entries`,
        path: `/v2/a/b/tags/list?n=${n}`,
        status: 400,
        codes: ['UNSUPPORTED'],
      })),
      {
        name: 'HEAD',
        method: 'HEAD',
        path: '/v2/a/b/tags/list',
        status: 200,
        has: { 'content-type': /^application\/json/ },
      },
      {
        name: 'no tags are an empty list',
        path: '/v2/empty/tags/list',
        status: 200,
        content: { name: 'empty', tags: [] },
      },
      { name: 'an unknown repository', path: '/v2/unknown/tags/list', status: 404, codes: ['NAME_UNKNOWN'] },
      {
        name: 'a catalog of n=0',
        path: '/v2/_catalog?n=0',
        status: 200,
        content: { repositories: [] },
        lacks: ['link'],
      },
      {
        name: 'a catalog after a name',
        path: '/v2/_catalog?last=b',
        status: 200,
        content: { repositories: ['empty', 'z'] },
      },
      {
        name: 'a catalog after a part of a name',
        path: '/v2/_catalog?last=a/b&n=1',
        status: 200,
        content: { repositories: ['a/b/c'] },
      },
      { name: 'a catalog of n=x', path: '/v2/_catalog?n=x', status: 400, codes: ['UNSUPPORTED'] },
    ],
  )

  test('a push by digest sets ten tags and more, and OCI-Tag lists them', async () => {
    await pushBlob(server, 'many', EMPTY)
    const tags = Array.from({ length: 100 }, (_, n) => `t${n}`)
    const query = [...tags, 't0'].map((tag) => `tag=${tag}`).join('&')
    const pushed = await pushManifest(server, 'many', manifest, { reference: `${manifest.digest}?${query}` })
    expect(pushed.headers.get('oci-tag')?.split(', ')).toEqual(tags)
    expect((await pagesOf('/v2/many/tags/list', 'tags')).flat()).toEqual([...tags].sort())
    for (const tag of ['t0', 't99']) {
      const response = await server.fetch(`/v2/many/manifests/${tag}`)
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
    }
    const other = await pushManifest(server, 'many', manifest, { reference: 'alone' })
    expect(other.headers.has('oci-tag')).toBe(false)
  })
})
