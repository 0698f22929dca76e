import { expect, test } from 'bun:test'
import { CachedManifests, type CachedManifestsOptions } from '../../src/cache/manifests.ts'
import { registryError } from '../../src/oci/error.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { EMPTY, imageManifest, OCI_MANIFEST } from '../support/content.ts'

const [REPOSITORY, TAG] = [parseRepositoryName('up.example/app'), parseTag('1')]

/** A cached tag that is evicted as soon as its upstream has confirmed it. */
function openEvicting() {
  const { bytes, digest: text } = imageManifest(EMPTY, [])
  const digest = parseDigest(text)
  let isHere = true
  const fetched = () => ({
    bytes: Uint8Array.from(bytes),
    mediaType: OCI_MANIFEST,
    digest,
    [Symbol.dispose]() {},
  })
  const upstream = {
    name: 'up.example',
    settings: { gone: 'keep', refused: 'serve' },
    isUpFor: () => true,
    checkTag: async () => digest,
    getManifest: async () => fetched(),
  }
  const options = {
    local: {
      async get() {
        if (isHere) return { digest, bytes, mediaType: OCI_MANIFEST }
        throw registryError('MANIFEST_UNKNOWN')
      },
    },
    metadata: {
      cache: { findTag: () => (isHere ? { digest, checkedAt: 0 } : undefined) },
      async write(name: string) {
        isHere = name === 'cacheManifest'
        return { stale: undefined }
      },
    },
    upstreams: { of: () => upstream },
    labels: { of: async () => [] },
    lastUse: { note: () => {} },
    room: { store: (_: number, write: () => Promise<unknown>) => write() },
    now: () => 1_000_000,
    monotonic: () => 1_000_000,
    freshMs: 1,
    staleMs: 1,
    deadlineMs: 10_000,
    firstByteMs: 10_000,
    readManifest: async () => ({ manifest: parseManifest(bytes, undefined), payload: bytes }),
    onRequest: () => {},
    onStale: () => {},
  }
  return { manifests: new CachedManifests(options as unknown as CachedManifestsOptions), digest }
}

test('cache: a tag that is evicted right after its check is fetched again by a refresh', async () => {
  const { manifests, digest } = openEvicting()
  expect(await manifests.refresh(REPOSITORY, TAG)).toBe(digest)
})

test('cache: a tag that is evicted right after its check is fetched again by a pull', async () => {
  const { manifests, digest } = openEvicting()
  expect((await manifests.get(REPOSITORY, { tag: TAG })).digest).toBe(digest)
})
