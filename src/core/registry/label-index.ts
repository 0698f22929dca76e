import { readManifest } from '../../docker/schema1.ts'
import type { ReadLabels, UnlabelledManifest } from '../../metadata/content/manifests/labels.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import { searchableLabels } from '../../oci/labels.ts'
import type { Manifest } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { ContentReader } from '../content-reader.ts'
import type { LabelReader } from './labels.ts'

/**
 * How many manifests are read between two writes, and how many of a repository get their labels when their config
 * arrives. With as many labels as they can have, a write takes some milliseconds.
 */
const BATCH = 16

/** How long reading old manifests pauses after each batch, in times that the batch took, so that requests come first. */
const PAUSE = 3

/** A larger manifest is read in the thread of the content reader. */
const INLINE_BYTES_MAX = 64 * 1024

/** Any kind of manifest, also those that a push would refuse by now. */
const SCHEMA1 = { push: true, unsigned: true }

export type LabelIndex = ReturnType<typeof labelIndex>

export interface LabelIndexOptions {
  metadata: Metadata
  reader: Pick<ContentReader, 'readPushed'>
  readLabels: LabelReader
}

/** Finds the labels that a search shows, for manifests from a push, from an upstream, and from an older data folder. */
export function labelIndex({ metadata, reader, readLabels }: LabelIndexOptions) {
  let isStopped = false
  let reading: Promise<void> = Promise.resolve()
  const read = async (row: UnlabelledManifest): Promise<ReadLabels> => {
    const { repositoryId, digest } = row
    return { repositoryId, digest, labels: await ofStored(row).catch(() => []) }
  }
  const ofStored = async ({ repository, digest, mediaType }: UnlabelledManifest) => {
    const bytes = metadata.manifests.findBytes(digest)
    if (bytes === undefined) return []
    const manifest =
      bytes.length <= INLINE_BYTES_MAX
        ? readManifest(bytes, mediaType)
        : await readLarge(reader, { repository, digest, mediaType, bytes })
    return await of(repository, manifest, bytes)
  }
  const of = async (repository: RepositoryName, manifest: Manifest, bytes: Uint8Array) =>
    searchableLabels(await readLabels(repository, manifest, bytes))
  const readAll = async () => {
    for (;;) {
      const began = performance.now()
      const rows = await metadata.labels.unread(BATCH)
      if (rows.length === 0) return
      const found: ReadLabels[] = []
      for (const row of rows) {
        if (isStopped) return
        found.push(await read(row))
        await turn()
      }
      const last = rows.length < BATCH ? 1 : (rows.at(-1)?.id ?? 1)
      await metadata.write('addLabels', { read: found, unread: last - 1 })
      await Bun.sleep(PAUSE * (performance.now() - began))
    }
  }
  return {
    /** Returns the labels of a manifest that is about to be stored. */
    of,

    /** Adds the labels of a config that has arrived from an upstream to the manifests that have it. */
    async configArrived(repository: RepositoryName, digest: Digest): Promise<void> {
      const rows = await metadata.labels.withConfig(repository, digest, BATCH)
      if (rows.length === 0) return
      const found: ReadLabels[] = []
      for (const row of rows) {
        found.push(await read(row))
        await turn()
      }
      await metadata.write('addLabels', { read: found })
    },

    /**
     * Reads the labels of manifests that an older version stored, the newest first. After a restart it continues where
     * it stopped. A manifest that cannot be read has no labels.
     */
    readOld(): Promise<void> {
      reading = readAll()
      return reading
    },

    /** Stops reading old manifests. */
    async stop(): Promise<void> {
      isStopped = true
      await reading.catch(() => {})
    },
  }
}

interface Stored extends Pick<UnlabelledManifest, 'repository' | 'digest' | 'mediaType'> {
  bytes: Buffer
}

async function readLarge(
  reader: LabelIndexOptions['reader'],
  { repository, digest, mediaType: contentType, bytes }: Stored,
): Promise<Manifest> {
  const push = { repository, reference: { digest }, tags: [], contentType, bytes: Uint8Array.from(bytes) }
  return (await reader.readPushed(push, SCHEMA1)).manifest
}
