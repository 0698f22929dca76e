import { describe, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { imageManifest, type Named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { AT, CALLER, link, put, withMetadata } from '../support/writes.ts'

const namespace = 'docker.io'
const repository = parseRepositoryName('docker.io/library/a')

test('a push to a repository whose upstream was removed makes it a local one', async () => {
  await using folder = await temporaryFolder('removed-upstream')
  await withMetadata(folder.path, async (metadata) => {
    const { cache, manifests, quotas } = metadata
    const [config, layer] = [10, 100].map(randomBlob) as [Named, Named]
    const image = imageManifest(config, [layer])
    const digest = parseDigest(image.digest)
    const { annotations: _, ...manifest } = parseManifest(image.bytes, undefined)
    const bytes = Uint8Array.from(image.bytes)
    const fetched = { repository, digest, sha256: digest, tag: parseTag('1'), manifest, bytes, labels: [] }
    await metadata.write('cacheManifest', { ...fetched, at: AT })
    for (const blob of [config, layer]) {
      const named = { digest: parseDigest(blob.digest), size: blob.bytes.length }
      await metadata.write('linkCached', { ...named, repositories: [repository], at: AT })
    }
    await metadata.write('applyQuotas', { quotas: [{ namespace, tagsMax: 10 }] })
    expect(cache.localUnder(namespace)).toEqual([])
    expect(quotas.usage(namespace)).toEqual({ bytes: 0, repositories: 0, tags: 0 })

    const pushed = imageManifest(config, [layer, layer])
    await metadata.write(...put(repository, pushed, ['2']))
    expect(cache.localUnder(namespace)).toEqual([repository])
    const left = 110 + pushed.bytes.length
    const all = { bytes: left + image.bytes.length, repositories: 1, tags: 2 }
    expect(quotas.usage(namespace)).toEqual(all)

    await metadata.write('evict', { at: AT + 1, before: AT + 1, bytes: 1, limit: 100 })
    expect(manifests.findByDigest(repository, digest)).toBeUndefined()
    expect(quotas.usage(namespace)).toEqual({ bytes: left, repositories: 1, tags: 1 })
  })
})

describe('in the transaction of a write', () => {
  const [config, layer] = [10, 100].map(randomBlob) as [Named, Named]
  const image = imageManifest(config, [layer])
  const digest = parseDigest(image.digest)
  const add = {
    caller: CALLER,
    at: AT,
    name: namespace,
    settings: '{}',
    secret: null,
    seen: undefined,
    detail: {},
  }

  test('a push to a name that has become an upstream is refused', async () => {
    await using folder = await temporaryFolder('added-upstream')
    await withMetadata(folder.path, async (metadata) => {
      await metadata.write('putUpstream', add)
      for (const write of [
        () => metadata.write(...link(repository, layer)),
        () => metadata.write(...put(repository, image, ['1'])),
      ])
        expect(await failureOf(write())).toMatchObject({ status: 405 })
      expect(metadata.repositories.find(repository)).toBeUndefined()
      await metadata.write(...link('other/a', layer))
      await metadata.write('removeUpstream', { caller: CALLER, at: AT, name: namespace })
      await metadata.write(...link(repository, layer))
    })
  })

  test('nothing is cached in a repository that has become local', async () => {
    await using folder = await temporaryFolder('local-repository')
    await withMetadata(folder.path, async (metadata) => {
      await metadata.write(...link(repository, config))
      const { annotations: _, ...manifest } = parseManifest(image.bytes, undefined)
      const bytes = Uint8Array.from(image.bytes)
      const fetched = { repository, digest, sha256: digest, tag: parseTag('1'), manifest, bytes, labels: [] }
      await metadata.write('cacheManifest', { ...fetched, at: AT })
      const other = parseRepositoryName('docker.io/library/b')
      const blob = { digest: parseDigest(layer.digest), size: 100 }
      await metadata.write('linkCached', { ...blob, repositories: [repository, other], at: AT })
      const { cache, manifests, blobs } = metadata
      expect(cache.localUnder(namespace)).toEqual([repository])
      expect(manifests.findByDigest(repository, digest)).toBeUndefined()
      expect([repository, other].map((name) => blobs.findSize(name, blob.digest))).toEqual([undefined, 100])
    })
  })
})
