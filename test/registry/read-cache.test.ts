import { expect, test } from 'bun:test'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { ReadCache } from '../../src/registry/local-blobs.ts'
import { digestOf } from '../support/content.ts'

const name = parseRepositoryName('a')
const GiB = 1024 ** 3
const manifest = (bytes: Uint8Array) => ({ digest: parseDigest(digestOf(bytes)), mediaType: 'a/b', bytes })

test.each([
  [32 * 1024 * 1024, true],
  [GiB, true],
  [2 * GiB, true],
  [4 * GiB, true],
  [0, false],
])('read cache: with %d bytes it keeps a manifest: %p', (bytesMax, kept) => {
  const cache = new ReadCache(bytesMax)
  const stored = manifest(new Uint8Array(10_000))
  cache.putManifest(name, 'latest', stored)
  expect(cache.findManifest(name, 'latest')).toBe(kept ? stored : undefined)
  cache.clear()
  expect(cache.findManifest(name, 'latest')).toBeUndefined()
})

test('read cache: the least recently read entries are evicted', () => {
  const cache = new ReadCache(100_000)
  for (let n = 0; n < 50; n++) {
    cache.putManifest(name, `t${n}`, manifest(new Uint8Array(10_000)))
    expect(cache.findManifest(name, 't0')).toBeDefined()
  }
  const kept = Array.from({ length: 50 }, (_, n) => cache.findManifest(name, `t${n}`)).filter(Boolean)
  expect(kept.length).toBe(9)
  cache.putManifest(name, 'large', manifest(new Uint8Array(20_000)))
  expect(cache.findManifest(name, 'large')).toBeUndefined()
})

test('read cache: a size belongs to one repository and one digest', () => {
  const cache = new ReadCache(0)
  const digest = parseDigest(digestOf(new Uint8Array(1)))
  cache.putSize(name, digest, 7)
  expect(cache.findSize(name, digest)).toBe(7)
  expect(cache.findSize(parseRepositoryName('b'), digest)).toBeUndefined()
  cache.clear()
  expect(cache.findSize(name, digest)).toBeUndefined()
})
