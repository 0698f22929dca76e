import { expect, test } from 'bun:test'
import { descriptions, ManifestReading } from '../../src/content/content.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import type { Digest, RepositoryName } from '../../src/oci/reference.ts'
import { ContentReader } from '../../src/registry/content-reader.ts'
import {
  descriptor,
  imageIndex,
  imageManifest,
  type Named,
  named,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { turnsDuring } from '../support/turns.ts'

const IMAGES = 1000
const LAYERS = 20

/** Indexes of the same images. Together they are within the bytes that one answer reads. */
const INDEXES = 10

const layers = Array.from({ length: LAYERS }, (_, layer) => named(`layer ${layer}`))
const images = Array.from({ length: IMAGES }, (_, at) => imageManifest(named(`config ${at}`), layers))
const entries = images.map((image) => descriptor(image, OCI_MANIFEST))
const indexes = Array.from({ length: INDEXES }, (_, at) =>
  imageIndex(entries, { annotations: { at: String(at) } }),
)

/** Metadata with these manifests, in any repository. */
function metadataOf(manifests: Named[]): Metadata {
  const rows = new Map(
    manifests.map(({ digest, bytes }, id) => {
      const mediaType = id < IMAGES ? OCI_MANIFEST : OCI_INDEX
      return [
        digest,
        { id, digest: digest as Digest, storedAs: digest as Digest, mediaType, size: bytes.length },
      ]
    }),
  )
  const findByDigest = (_: RepositoryName, digest: string) => rows.get(digest)
  const findBytes = (digest: string) => manifests[rows.get(digest)?.id ?? -1]?.bytes
  return { manifests: { findByDigest, findBytes }, blobs: { findSize: () => 0 } } as unknown as Metadata
}

test('manifests: the sizes of many wide indexes are added up in parts, within a limit, and other requests get turns', async () => {
  const reader = new ContentReader()
  const reading = new ManifestReading(
    metadataOf([...images, ...indexes]),
    reader,
    'team/app' as RepositoryName,
  )
  const add = async () => {
    const sums: number[] = []
    for (const { digest } of indexes) {
      const { manifest } = await reading.find(digest as Digest)
      sums.push(manifest ? await reading.totalBytes(manifest) : 0)
    }
    return sums
  }
  const first = await add()
  // By now each manifest has been read, and only the sums are left.
  let again: number[] = []
  const turns = await turnsDuring(async () => {
    again = await add()
  })
  expect(again).toEqual(first)
  expect(turns).toBeGreaterThan((INDEXES * IMAGES) / 500)
  expect(reading.truncated).toBe(false)
  for (let round = 0; round < 4; round++) await add()
  expect(reading.truncated).toBe(true)
  await reader.stop()
})

test('manifests: a list with the platforms of images reads their configs in turns with other requests', async () => {
  const reader = new ContentReader()
  const bytes = named(
    JSON.stringify({ os: 'linux', architecture: 'amd64', history: Array(3000).fill({}) }),
  ).bytes
  const open = async () => ({ size: bytes.length, read: async () => ({ bytes }) })
  const { outline } = descriptions(metadataOf(images), { open }, reader)
  const digests = images.slice(0, 100).map(({ digest }) => digest as Digest)
  let platforms: string[] = []
  const turns = await turnsDuring(async () => {
    const outlines = await outline('team/app' as RepositoryName, digests)
    platforms = [...new Set(outlines.flatMap((one) => one.platforms))]
  })
  expect(platforms).toEqual(['linux/amd64'])
  expect(turns).toBeGreaterThan(digests.length / 6)
  await reader.stop()
})
