import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseV1Path } from '../../src/docker-v1/exchange.ts'
import { RegistryError } from '../../src/oci/error.ts'
import { longInputs, millisecondsOf } from '../support/parsing.ts'

describe('docker v1: a path', () => {
  test.each<[path: string, parsed: object]>([
    ['/v1/_ping', { kind: 'ping' }],
    ['/v1/_internal_ping', { kind: 'internalPing' }],
    ['/v1/search', { kind: 'search' }],
    ['/v1/users', { kind: 'users' }],
    ['/v1/users/', { kind: 'users' }],
    ['/v1/users/alice/', { kind: 'user', account: 'alice' }],
    ['/v1/users/alice%2Bci', { kind: 'user', account: 'alice+ci' }],
    ['/v1/repositories/app/', { kind: 'repository', name: 'app' }],
    ['/v1/repositories/app/images', { kind: 'images', name: 'app' }],
    ['/v1/repositories/library/app/images', { kind: 'images', name: 'library/app' }],
    ['/v1/repositories/a/b/c/d/tags', { kind: 'tags', name: 'a/b/c/d' }],
    ['/v1/repositories/a/b/tags/v1.0', { kind: 'tag', name: 'a/b', tag: 'v1.0' }],
    ['/v1/repositories/a/tags/tags', { kind: 'tags', name: 'a/tags' }],
    ['/v1/repositories/tags', { kind: 'repository', name: 'tags' }],
    ['/v1/repositories/a/auth', { kind: 'auth', name: 'a' }],
    ['/v1/images/x/json', { kind: 'json', id: 'x' }],
    ['/v1/images/x/ancestry', { kind: 'ancestry', id: 'x' }],
    ['/v1/images/x/layer', { kind: 'layer', id: 'x' }],
    ['/v1/images/x/checksum', { kind: 'checksum', id: 'x' }],
  ])('%s', (path, parsed) => expect<unknown>(parseV1Path(path)).toEqual(parsed))

  test.each([
    '/v1',
    '/v1/',
    '/v2/_ping',
    '/v1/_ping/x',
    '/v1/search/x',
    '/v1/users/a/b',
    '/v1/users/%ff',
    '/v1/images',
    '/v1/images/x',
    '/v1/images/x/files',
    '/v1/images/x/json/y',
    '/v1/repositories',
    '/v1/other',
  ])('that is none: %s', (path) => expect(parseV1Path(path)).toBeUndefined())

  test.each(['/v1/repositories/A/images', '/v1/repositories//images', '/v1/repositories/a/tags/.x'])(
    'with a malformed part: %s',
    (path) => expect(() => parseV1Path(path)).toThrow(RegistryError),
  )

  test('throws only the documented errors', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.webSegment(), fc.constantFrom('repositories', 'tags', 'images'))),
        (words) => {
          try {
            parseV1Path(`/v1/${words.join('/')}`)
          } catch (error) {
            expect(error).toBeInstanceOf(RegistryError)
          }
        },
      ),
    )
  })
})

test('docker v1: paths are parsed in linear time', () => {
  for (const input of longInputs(100_000)) {
    const parse = (path: string) => {
      try {
        parseV1Path(path)
      } catch {}
    }
    expect(millisecondsOf(() => parse(`/v1/repositories/${input}/tags/${input}`))).toBeLessThan(50)
    expect(millisecondsOf(() => parse(`/v1/images/${input}/json`))).toBeLessThan(50)
  }
})
