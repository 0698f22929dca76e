import { describe, expect, test } from 'bun:test'
import { CachedBlobs, type CachedBlobsOptions } from '../../src/cache/blobs.ts'
import type { Fill } from '../../src/cache/fills.ts'
import { CachedManifests, type CachedManifestsOptions } from '../../src/cache/manifests.ts'
import { diskFull, registryError } from '../../src/oci/error.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import { EMPTY, imageManifest, OCI_MANIFEST, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'

const REPOSITORY = parseRepositoryName('up.example/app')
const { bytes, digest: text } = imageManifest(EMPTY, [])
const DIGEST = parseDigest(text)

/** A cache without content on a full disk. With `evicted` bytes that can be evicted, there is then room. */
function openFull(evicted: number) {
  const results: string[] = []
  let isFull = true
  let isStored = false
  const upstream = {
    name: 'up.example',
    settings: { gone: 'keep', refused: 'serve' },
    checkTag: async () => DIGEST,
    getManifest: async () => ({
      bytes: Uint8Array.from(bytes),
      mediaType: OCI_MANIFEST,
      digest: DIGEST,
      [Symbol.dispose]() {},
    }),
  }
  const options = {
    upstreams: { of: () => upstream },
    local: {
      async get() {
        if (isStored) return { digest: DIGEST, bytes, mediaType: OCI_MANIFEST }
        throw registryError('MANIFEST_UNKNOWN')
      },
    },
    metadata: {
      cache: { findTag: () => undefined, holders: () => [], naming: () => [] },
      async write(_: string, call: { bytes: Uint8Array<ArrayBuffer> }, moved: ArrayBuffer[] = []) {
        structuredClone(call.bytes, { transfer: moved })
        if (isFull) throw diskFull(undefined)
        isStored = true
        return { stale: undefined }
      },
    },
    room: {
      store: (_: number, write: () => Promise<unknown>) => write(),
      async evict() {
        isFull = evicted === 0
        return evicted
      },
    },
    labels: { of: async () => [] },
    lastUse: { note: () => {} },
    locks: new DigestLocks(),
    now: () => 1_000_000,
    monotonic: () => 1_000_000,
    firstByteMs: 10_000,
    readManifest: async () => ({ manifest: parseManifest(bytes, undefined), payload: bytes }),
    onRequest: (_: string, result: string) => results.push(result),
  }
  return { options, results, isStored: () => isStored }
}

describe('full disk: a manifest', () => {
  const references = [{ tag: parseTag('1') }, { digest: DIGEST }]
  const open = (evicted: number) => {
    const { options, ...more } = openFull(evicted)
    return { ...more, manifests: new CachedManifests(options as unknown as CachedManifestsOptions) }
  }

  test.each(references)(
    'is passed through to all its clients without being stored: %o',
    async (reference) => {
      const { manifests, results, isStored } = open(0)
      const clients = await Promise.all([1, 2].map(() => manifests.get(REPOSITORY, reference)))
      for (const sent of clients) expect(sent).toEqual({ digest: DIGEST, bytes, mediaType: OCI_MANIFEST })
      expect([results, isStored()]).toEqual([['through', 'through'], false])
    },
  )

  test.each(references)('is stored if something can be evicted: %o', async (reference) => {
    const { manifests, results, isStored } = open(1)
    expect((await manifests.get(REPOSITORY, reference)).bytes).toEqual(bytes)
    expect([results, isStored()]).toEqual([['miss'], true])
  })

  test('that a refresh cannot store is an error', async () => {
    expect(await failureOf(open(0).manifests.refresh(REPOSITORY, parseTag('1')))).toMatchObject({
      status: 507,
    })
  })
})

test('full disk: a cached tag that its upstream confirms is served without a warning', async () => {
  const { options, results } = openFull(0)
  const { settings, checkTag } = options.upstreams.of()
  const manifests = new CachedManifests({
    ...options,
    upstreams: { of: () => ({ name: 'up.example', settings, checkTag, isUpFor: () => true }) },
    local: { get: async () => ({ digest: DIGEST, bytes, mediaType: OCI_MANIFEST }) },
    metadata: {
      ...options.metadata,
      cache: { findTag: () => ({ digest: DIGEST, checkedAt: 0 }) },
    },
    freshMs: 1,
    staleMs: 1,
    deadlineMs: 10_000,
    onStale: () => {},
  } as unknown as CachedManifestsOptions)
  expect(await manifests.get(REPOSITORY, { tag: parseTag('1') })).not.toHaveProperty('warning')
  expect(results).toEqual(['hit'])
})

describe('full disk: a blob', () => {
  /** Opens a blob whose download rejects with the error of a full disk. */
  const openBlob = async (size: number, when: 'ended' | 'begun' | 'reach') => {
    const { options, results } = openFull(0)
    const blob = parseDigest(randomBlob(8).digest)
    const order = { digest: blob, size, upstream: options.upstreams.of(), repository: REPOSITORY }
    const full = Promise.reject(diskFull(undefined))
    full.catch(() => {})
    const fill = {
      order,
      followed: 1,
      repositories: new Set(),
      begun: when === 'reach' ? Promise.resolve() : full,
      ended: full,
      reach: () => full,
    } as unknown as Fill
    let running: Fill | undefined
    const blobs = new CachedBlobs({
      ...options,
      upstreams: { of: () => ({ ...order.upstream, getBlobSize: async () => size }) },
      fills: { find: () => running, uploadOf: () => undefined },
      local: { open: async () => Promise.reject(registryError('BLOB_UNKNOWN')) },
      room: {
        async admit() {
          running = fill
          return fill
        },
      },
      metadata: { ...options.metadata, blobs: { isStored: () => false } },
      passages: { isSendable: () => true, open: async () => 'passed through' },
    } as unknown as CachedBlobsOptions)
    const opened = await blobs.open(REPOSITORY, blob)
    return { results, read: () => opened.read({ start: 0, end: size }) as Promise<unknown> }
  }

  test.each([
    ['small', 1000, 'ended'],
    ['large', 200_000, 'begun'],
    ['large', 200_000, 'reach'],
  ] as const)('that is %s (%d bytes) is passed through if it cannot be stored: %s', async (_, size, when) => {
    const { read, results } = await openBlob(size, when)
    expect(await read()).toBe('passed through')
    expect(results).toEqual(['joined', 'through'])
  })
})
