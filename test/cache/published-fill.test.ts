import { expect, test } from 'bun:test'
import { CachedBlobs, type CachedBlobsOptions } from '../../src/cache/blobs.ts'
import type { Fill } from '../../src/cache/fills.ts'
import { registryError } from '../../src/oci/error.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import { randomBlob } from '../support/content.ts'

const [APP, OTHER] = ['app', 'other'].map((name) => parseRepositoryName(`up.example/${name}`))

test('cache: a small blob whose download ends just before a client joins it is not a 404', async () => {
  const { bytes, digest: text } = randomBlob(1000)
  const digest = parseDigest(text)
  const upstream = { name: 'up.example', settings: {}, getBlobSize: async () => bytes.length }
  const fill = {
    order: { digest, size: bytes.length, upstream, repository: OTHER },
    repositories: new Set([OTHER]),
    ended: Promise.resolve(),
  } as unknown as Fill
  const linked = new Set<unknown>()
  const holders = () => (linked.size > 0 ? [{ upstream: 'up.example', size: bytes.length }] : [])
  const blobs = new CachedBlobs({
    upstreams: { of: () => upstream },
    fills: { find: () => (linked.size > 0 ? undefined : fill), uploadOf: () => undefined },
    room: {
      async admit(find: () => Fill) {
        const found = find()
        for (const repository of found.repositories) linked.add(repository)
        return found
      },
    },
    local: {
      async open(repository: unknown) {
        if (linked.has(repository)) return { size: bytes.length, read: async () => ({ bytes }) }
        throw registryError('BLOB_UNKNOWN')
      },
    },
    metadata: {
      cache: { naming: () => [], holders, findLender: () => undefined },
      async write(_: string, { repositories }: { repositories: unknown[] }) {
        for (const repository of repositories) linked.add(repository)
      },
    },
    locks: new DigestLocks(),
    labels: { configArrived: async () => {} },
    lastUse: { note: () => {} },
    now: () => 0,
    monotonic: () => 0,
    firstByteMs: 10_000,
    onRequest: () => {},
  } as unknown as CachedBlobsOptions)
  expect((await blobs.open(APP!, digest)).size).toBe(bytes.length)
  expect(linked).toEqual(new Set([OTHER, APP]))
})
