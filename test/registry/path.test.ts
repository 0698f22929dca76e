import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parsePath, type V2Path } from '../../src/registry/dispatch.ts'
import { codeOf, longInputs, millisecondsOf } from '../support/parsing.ts'

const digest = `sha256:${'0'.repeat(64)}`
const id = '0b9ad2f1-8d15-4ec5-a3b4-3f2e0b6a77c5'

/** Every kind of path, for a given name. */
const PATHS: [path: (name: string) => string, expected: (name: string) => object][] = [
  [(name) => `/v2/${name}/blobs/${digest}`, (name) => ({ kind: 'blob', name, digest })],
  [
    (name) => `/v2/${name}/manifests/${digest}`,
    (name) => ({ kind: 'manifest', name, reference: { digest } }),
  ],
  [
    (name) => `/v2/${name}/manifests/latest`,
    (name) => ({ kind: 'manifest', name, reference: { tag: 'latest' } }),
  ],
  [
    (name) => `/v2/${name}/manifests/list`,
    (name) => ({ kind: 'manifest', name, reference: { tag: 'list' } }),
  ],
  [
    (name) => `/v2/${name}/manifests/uploads`,
    (name) => ({ kind: 'manifest', name, reference: { tag: 'uploads' } }),
  ],
  [(name) => `/v2/${name}/blobs/uploads/`, (name) => ({ kind: 'uploads', name })],
  [(name) => `/v2/${name}/blobs/uploads`, (name) => ({ kind: 'uploads', name })],
  [(name) => `/v2/${name}/blobs/uploads/${id}`, (name) => ({ kind: 'upload', name, id })],
  [(name) => `/v2/${name}/tags/list`, (name) => ({ kind: 'tags', name })],
  [(name) => `/v2/${name}/referrers/${digest}`, (name) => ({ kind: 'referrers', name, digest })],
]
const WORDS = ['blobs', 'manifests', 'tags', 'uploads', 'referrers', 'list', 'v2', 'a', 'latest']

describe('paths', () => {
  test.each([
    ['/v2', { kind: 'base' }],
    ['/v2/', { kind: 'base' }],
    ['/v2/_catalog', { kind: 'catalog' }],
  ])('%s', (path, expected) => expect(parsePath(path)).toEqual(expected as V2Path))

  test('may percent-encode the colon of a digest', () => {
    for (const noun of ['blobs', 'manifests', 'referrers']) {
      for (const colon of ['%3A', '%3a']) {
        const encoded = `/v2/a/${noun}/${digest.replace(':', colon)}`
        expect(parsePath(encoded)).toEqual(parsePath(`/v2/a/${noun}/${digest}`)!)
      }
    }
  })

  test('may have names whose components are keywords of the grammar', () => {
    const names = fc
      .array(fc.constantFrom(...WORDS), { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join('/'))
    fc.assert(
      fc.property(names, fc.constantFrom(...PATHS), (name, [path, expected]) => {
        expect<unknown>(parsePath(path(name))).toEqual(expected(name))
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    '',
    '/',
    '/v1/',
    '/v2x',
    '/v2/a',
    '/v2/a/tags',
    '/v2/a/tags/lists',
    '/v2//tags/list',
    '/v2/tags/list',
    '/v2/blobs/uploads/',
    `/v2/a/uploads/${id}`,
    '/v2/a/blob/x',
    '/v2/_catalog/',
    `/v2//blobs/${digest}`,
  ])('%j is served by no row', (path) => expect(parsePath(path)).toBeUndefined())

  test.each([
    ['/v2/A/tags/list', 'NAME_INVALID'],
    ['/v2/a%2Fb/tags/list', 'NAME_INVALID'],
    ['/v2/../a/tags/list', 'NAME_INVALID'],
    ['/v2/_catalog/tags/list', 'NAME_INVALID'],
    ['/v2/a/blobs/sha256:', 'DIGEST_INVALID'],
    ['/v2/a/blobs/latest', 'DIGEST_INVALID'],
    ['/v2/a/blobs/', 'DIGEST_INVALID'],
    ['/v2/a/referrers/latest', 'DIGEST_INVALID'],
    ['/v2/a/manifests/', 'MANIFEST_INVALID'],
    ['/v2/a/manifests/sha256:baddigeststring', 'DIGEST_INVALID'],
    ['/v2/a/manifests/1.0+2', 'MANIFEST_INVALID'],
  ])('%s throws %s', (path, code) => expect(codeOf(() => parsePath(path))).toBe(code))

  test('of any text throw only the documented errors', () => {
    const parts = fc.array(
      fc.oneof(fc.constantFrom(...WORDS, '', digest, '..'), fc.string({ maxLength: 5 })),
      { maxLength: 7 },
    )
    fc.assert(
      fc.property(parts, (found) => {
        const code = codeOf(() => parsePath(`/v2/${found.join('/')}`))
        expect(['none', 'NAME_INVALID', 'DIGEST_INVALID', 'MANIFEST_INVALID']).toContain(code)
      }),
      { numRuns: 2000 },
    )
  })

  test('are parsed in linear time', () => {
    for (const text of longInputs(100_000)) {
      for (const path of [
        `/v2/${text}/tags/list`,
        `/v2/a/manifests/${text}`,
        `/v2/a/blobs/${text}`,
        `/v2/${text}`,
      ]) {
        expect(millisecondsOf(() => codeOf(() => parsePath(path)))).toBeLessThan(20)
      }
    }
  })
})
