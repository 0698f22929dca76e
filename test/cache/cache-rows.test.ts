import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { LastUse } from '../../src/cache/flights.ts'
import { Room } from '../../src/cache/room.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { parseDigest, parseReference, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import {
  descriptor,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { AT, link, open, put } from '../support/writes.ts'

const UPSTREAM = 'docker.io'
const nameOf = (repository: string) => parseRepositoryName(`${UPSTREAM}/${repository}`)

/** Writes content of an upstream as fetches do, on a clock that advances by 1 with each write. */
function cache(metadata: Metadata) {
  let at = AT
  return {
    async manifest(repository: string, { bytes, digest }: Named, tag?: string) {
      const { annotations: _, ...manifest } = parseManifest(bytes, undefined)
      await metadata.write('cacheManifest', {
        at: ++at,
        repository: nameOf(repository),
        digest: parseDigest(digest),
        sha256: parseDigest(digest),
        tag: tag === undefined ? undefined : parseTag(tag),
        manifest,
        bytes: Uint8Array.from(bytes),
        labels: [],
      })
      return at
    },
    async blob(repository: string, { bytes, digest }: Named) {
      const repositories = [nameOf(repository)]
      const call = { repositories, digest: parseDigest(digest), size: bytes.length }
      await metadata.write('linkCached', { ...call, at: ++at })
    },
    evict: (bytes: number, before = at + 1) => metadata.write('evict', { at, before, bytes, limit: 100 }),
  }
}

const NOTHING = { bytes: 0, manifestBytes: 0, blobs: 0 }

const isHere = (metadata: Metadata, repository: string, { digest }: Named) =>
  metadata.manifests.findByDigest(nameOf(repository), parseDigest(digest)) !== undefined

async function withMetadata(work: (metadata: Metadata) => Promise<void>) {
  await using folder = await temporaryFolder('cache')
  const metadata = await open(folder.path)
  try {
    await work(metadata)
  } finally {
    await metadata.close()
  }
}

test('eviction: the least recently used image is evicted with the blobs that only it references', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const [config, shared, own, other] = [10, 100, 1000, 10_000].map(randomBlob) as [
      Named,
      Named,
      Named,
      Named,
    ]
    const first = imageManifest(config, [shared, own])
    const second = imageManifest(config, [shared, other])
    await write.manifest('library/a', first, '1')
    await write.manifest('library/a', second, '2')
    for (const blob of [config, shared, own, other]) await write.blob('library/a', blob)
    const manifestBytes = first.bytes.length + second.bytes.length
    expect(metadata.cache.totals()).toEqual({ bytes: 11_110 + manifestBytes, manifestBytes, blobs: 4 })
    const evicted = await write.evict(1)
    expect(evicted.bytes).toBe(1000 + first.bytes.length)
    expect(evicted.blobs).toEqual([{ digest: parseDigest(own.digest), size: 1000 }])
    expect(isHere(metadata, 'library/a', first)).toBe(false)
    expect(isHere(metadata, 'library/a', second)).toBe(true)
    const left = second.bytes.length
    expect(metadata.cache.totals()).toEqual({ bytes: 10_110 + left, manifestBytes: left, blobs: 3 })
    await metadata.write('touchCached', {
      uses: [
        { repository: nameOf('library/a'), digest: parseDigest(other.digest), isBlob: true, at: AT + 1000 },
      ],
    })
    expect((await write.evict(1, AT + 1000)).manifests).toBe(0)
    expect((await write.evict(1, AT + 1001)).manifests).toBe(1)
    expect(metadata.cache.totals()).toEqual(NOTHING)
    expect(metadata.repositories.find(nameOf('library/a'))).toBeUndefined()
  }))

test('eviction: pushed or mounted content is kept, even if it was cached first', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const [config, layer] = [randomBlob(10), randomBlob(5000)]
    const image = imageManifest(config, [layer])
    await write.manifest('library/a', image, '1')
    await write.blob('library/a', config)
    await write.blob('library/a', layer)
    for (const blob of [config, layer]) await metadata.write(...link('mine', blob))
    await metadata.write(...put('mine', image, ['1']))
    expect(metadata.cache.totals()).toMatchObject({ bytes: image.bytes.length, blobs: 0 })
    const evicted = await write.evict(1e9)
    expect(evicted).toMatchObject({ manifests: 1, blobs: [] })
    expect(metadata.blobs.findSize(parseRepositoryName('mine'), parseDigest(layer.digest))).toBe(5000)
    expect(
      metadata.manifests.findByDigest(parseRepositoryName('mine'), parseDigest(image.digest)),
    ).toBeDefined()
  }))

test('eviction: pushing a cached manifest turns it into pushed content', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const config = randomBlob(10)
    const image = imageManifest(config, [])
    await write.manifest('library/a', image, '1')
    await write.blob('library/a', config)
    await metadata.write(...link('docker.io/library/a', config))
    await metadata.write(...put('docker.io/library/a', image, ['1']))
    await write.manifest('library/a', image, '1')
    expect(metadata.cache.findTag(nameOf('library/a'), parseTag('1'))?.checkedAt).toBeNull()
    expect(await write.evict(1e9)).toMatchObject({ manifests: 0, blobs: [] })
    expect(isHere(metadata, 'library/a', image)).toBe(true)
  }))

test('eviction: an index is evicted with its last stored image, and unreferenced blobs are evicted first', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const [config, layer, loose] = [randomBlob(10), randomBlob(5000), randomBlob(70)]
    const image = imageManifest(config, [layer])
    const absent = imageManifest(randomBlob(3), [])
    const index = imageIndex([image, absent].map((one) => descriptor(one, OCI_MANIFEST)))
    await write.manifest('library/a', image)
    await write.manifest('library/a', index, '1')
    for (const blob of [loose, config, layer]) await write.blob('library/a', blob)
    expect((await write.evict(1)).blobs).toEqual([{ digest: parseDigest(loose.digest), size: 70 }])
    expect(await write.evict(1)).toMatchObject({ manifests: 2 })
    expect(metadata.cache.totals()).toEqual(NOTHING)
  }))

test('eviction: no image is evicted while there are unreferenced blobs, however many', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const image = imageManifest(randomBlob(10), [])
    await write.manifest('library/a', image, '1')
    for (let blobs = 0; blobs <= 100; blobs++) await write.blob('library/a', randomBlob(70))
    for (let more = true; more; ) {
      const evicted = await write.evict(1e9)
      expect(evicted.manifests > 0 && metadata.cache.totals().blobs > 0).toBe(false)
      more = evicted.more
    }
    expect(metadata.cache.totals()).toEqual(NOTHING)
    expect(isHere(metadata, 'library/a', image)).toBe(false)
  }))

test('eviction: with a cap below the pinned content, it ends after evicting everything else', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const caller = { account: 'me', credential: undefined, address: '', requestId: '' }
    await metadata.write('addPin', { caller, at: AT, pattern: 'docker.io/pinned', reference: '' })
    const [shared, own] = [randomBlob(1000), randomBlob(20)]
    for (let n = 0; n < 250; n++)
      await write.manifest('pinned', imageManifest(shared, [], { annotations: { n: `${n}` } }))
    const image = imageManifest(own, [])
    await write.manifest('other', image)
    await write.blob('pinned', shared)
    await write.blob('other', own)
    let now = AT + 60_000
    const room = new Room({
      metadata,
      blobs: { delete: async () => {} },
      partials: { load: async () => {}, bytes: () => 0, drop: async () => 0 } as never,
      locks: new DigestLocks(),
      lastUse: new LastUse(
        async () => {},
        () => now,
      ),
      log: openMemoryLog().log,
      now: () => ++now,
      bytesMax: 1,
      freeBytesMin: 0,
      diskNow: () => ({ totalBytes: 1e12, freeBytes: 1e12 }),
      fills: () => [],
      onEvicted() {},
    })
    await room.keep()
    expect(isHere(metadata, 'other', image)).toBe(false)
    expect(await metadata.cache.countManifests()).toBe(250)
  }))

test('cache: a tag that follows its upstream records it in its history, and a delete evicts immediately', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const [first, second] = [imageManifest(randomBlob(1), []), imageManifest(randomBlob(2), [])]
    const [name, tag] = [nameOf('library/a'), parseTag('1')]
    await write.manifest('library/a', first, '1')
    const at = await write.manifest('library/a', second, '1')
    expect(metadata.cache.findTag(name, tag)).toEqual({
      digest: parseDigest(second.digest),
      checkedAt: at,
    })
    await metadata.write('noteChecks', { checks: [{ repository: name, tag, at: at + 7 }] })
    expect(metadata.cache.findTag(name, tag)?.checkedAt).toBe(at + 7)
    const lines = await metadata.history.ofTag(name, tag, Number.MAX_SAFE_INTEGER, 10)
    expect(lines?.map(({ act }) => act)).toEqual(['tag.follow', 'tag.follow'])
    const caller = { account: 'me', credential: undefined, address: '', requestId: '' }
    const reference = parseReference(second.digest)
    await metadata.write('evictReference', { at: at + 8, caller, repository: name, reference })
    expect(isHere(metadata, 'library/a', second)).toBe(false)
    expect(metadata.cache.findTag(name, tag)).toBeUndefined()
  }))

test('cache: cached tags are listed page by page across repositories, and pushed ones are left out', () =>
  withMetadata(async (metadata) => {
    const { manifest } = cache(metadata)
    const one = imageManifest(randomBlob(1), [])
    await metadata.write(...link('local', one))
    for (const [repository, tag] of [
      ['a', 't1'],
      ['a', 't2'],
      ['b', 't3'],
    ] as const)
      await manifest(repository, one, tag)
    const names: string[] = []
    for (let after = { repositoryId: 0, tag: '' }; ; ) {
      const page = await metadata.cache.tags(after, 2)
      names.push(...page.map(({ repository, tag }) => `${repository}:${tag}`))
      const last = page.at(-1)
      if (last === undefined) break
      after = last
    }
    expect(names).toEqual(['docker.io/a:t1', 'docker.io/a:t2', 'docker.io/b:t3'])
    expect(await metadata.cache.countManifests()).toBe(2)
  }))

test('cache: who can lend a blob is looked up among its first thousand links', async () => {
  await using folder = await temporaryFolder('metadata')
  const metadata = await open(folder.path)
  const cached = cache(metadata)
  const [near, far] = [randomBlob(7), randomBlob(8)]
  const local = async (count: number, blob: Named) => {
    await Promise.all(Array.from({ length: count }, (_, n) => metadata.write(...link(`local-${n}`, blob))))
  }
  for (const [blob, count] of [[far, 1000] as const, [near, 999] as const]) {
    await local(count, blob)
    await cached.blob('last', blob)
  }
  const { findLender, holders } = metadata.cache
  expect(findLender(UPSTREAM, parseDigest(near.digest))).toBe(near.bytes.length)
  expect(holders(parseDigest(near.digest)).map(({ upstream }) => upstream)).toEqual([undefined, UPSTREAM])
  expect(findLender(UPSTREAM, parseDigest(far.digest))).toBeUndefined()
  expect(holders(parseDigest(far.digest)).map(({ upstream }) => upstream)).toEqual([undefined])
  await metadata.close()
})

test('cache: manifests of another repository with the same bytes count there, too, and until they are pushed', () =>
  withMetadata(async (metadata) => {
    const write = cache(metadata)
    const config = randomBlob(10)
    const image = imageManifest(config, [])
    const size = image.bytes.length
    await write.manifest('library/a', image)
    await write.manifest('library/b', image)
    expect(metadata.cache.totals().manifestBytes).toBe(2 * size)
    await metadata.write(...link('docker.io/library/b', config))
    await metadata.write(...put('docker.io/library/b', image, ['1']))
    expect(metadata.cache.totals().manifestBytes).toBe(size)
    expect((await write.evict(1)).bytes).toBe(size)
    expect(metadata.cache.totals()).toEqual(NOTHING)
  }))

test('migrations: the bytes of manifests that an older version cached count', async () => {
  await using folder = await temporaryFolder('cache')
  const path = join(folder.path, 'cay.db')
  await copyFile(join(import.meta.dir, '../fixtures/data-0025/cay.db'), path)
  const old = new Database(path)
  old.run('update manifest set used_at = 1 where repository_id = 1')
  const sum = old.query<{ bytes: number }, []>('select sum(size) as bytes from manifest where used_at = 1')
  const { bytes } = sum.get() ?? { bytes: 0 }
  old.close()
  const metadata = await open(folder.path)
  expect(bytes).toBeGreaterThan(0)
  expect(metadata.cache.totals().manifestBytes).toBe(bytes)
  await metadata.close()
})
