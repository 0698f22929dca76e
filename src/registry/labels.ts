import type { Metadata } from '../database/metadata.ts'
import { configOf, isSchema1Type, readManifest } from '../docker/schema1.ts'
import { RegistryError } from '../oci/error.ts'
import { commonLabels, type Labels, labelsOfConfig, searchableLabels } from '../oci/image-config.ts'
import { imageChildren, isImageConfig, type Manifest, readParts } from '../oci/manifest.ts'
import type { Digest, RepositoryName } from '../oci/reference.ts'
import { turn } from '../runtime/clock.ts'
import type { ContentReader } from './content-reader.ts'
import type { UnlabelledManifest } from './content-reads.ts'
import type { ReadLabels } from './content-writes.ts'
import type { SmallBlobs } from './local-blobs.ts'
import { type Blobs, readBlob } from './registry.ts'

/** The largest image config whose labels are read, in bytes. */
const CONFIG_BYTES_MAX = 1024 * 1024

/**
 * Limits for the labels of an index: the manifests below it at all depths, the bytes of these and their configs, and
 * the depth of nested indexes. An index that exceeds one has only its own annotations as labels.
 */
const CHILDREN_MAX = 100
const BYTES_MAX = 4 * 1024 * 1024
const DEPTH_MAX = 3

/** How long labels are read before other requests get a turn. */
const TURN_MS = 3

/** What is left of the limits of an index. */
interface Budget {
  children: number
  bytes: number
}

/** Returns the bytes of an image's config; undefined if it is too large, or not in the repository. */
type FindConfig = (repository: RepositoryName, digest: Digest) => Promise<Uint8Array | undefined>

/** Looks for configs among recent pushes, then in the repository. Writing the manifest checks that they exist. */
export function configReader(blobs: Pick<Blobs, 'open'>, pushed: Pick<SmallBlobs, 'findPushed'>): FindConfig {
  return async (repository, digest) => {
    const bytes = pushed.findPushed(repository, digest)
    if (bytes) return bytes
    try {
      return await readBlob(await blobs.open(repository, digest), CONFIG_BYTES_MAX)
    } catch (error) {
      // A setting can allow images without their config.
      if (error instanceof RegistryError && error.status === 404) return undefined
      throw error
    }
  }
}

export type LabelReader = ReturnType<typeof labelReader>

/**
 * Returns a function that reads the labels of a manifest from its bytes: its own annotations, and the labels of its
 * config, or for an index those that all its images have.
 */
export function labelReader(metadata: Metadata, findConfig: FindConfig) {
  const ofChildren = async (
    repository: RepositoryName,
    bytes: Uint8Array,
    depth: number,
    budget: Budget,
  ): Promise<Labels> => {
    const children = imageChildren(readParts(bytes))
    budget.children -= children.length
    if (depth === DEPTH_MAX || budget.children < 0) return {}
    let common: Labels | undefined
    let began = performance.now()
    for (const digest of children) {
      const row = metadata.manifests.findByDigest(repository, digest)
      if (row === undefined) return {}
      budget.bytes -= row.size
      if (budget.bytes < 0) return {}
      const child = metadata.manifests.getBytes(row.storedAs)
      const own = await read(repository, readManifest(child, row.mediaType), child, depth + 1, budget)
      common = commonLabels(common === undefined ? [own] : [common, own])
      if (Object.keys(common).length === 0) return {}
      if (performance.now() - began < TURN_MS) continue
      await turn()
      began = performance.now()
    }
    return common ?? {}
  }

  const read = async (
    repository: RepositoryName,
    { mediaType, artifactType, annotations, references }: Manifest,
    bytes: Uint8Array,
    depth: number,
    budget: Budget,
  ): Promise<Labels> => {
    if (references.some(({ role }) => role === 'child')) {
      return { ...(await ofChildren(repository, bytes, depth, budget)), ...annotations }
    }
    if (isSchema1Type(mediaType)) return labelsOfConfig(Buffer.from(configOf(bytes)))
    const config = references.find(({ role }) => role === 'config')
    const isImage = artifactType !== undefined && isImageConfig(artifactType)
    const found = config && isImage ? await findConfig(repository, config.digest) : undefined
    if (found === undefined) return annotations ?? {}
    budget.bytes -= found.length
    return { ...labelsOfConfig(found), ...annotations }
  }

  return (repository: RepositoryName, manifest: Manifest, bytes: Uint8Array): Promise<Labels> =>
    read(repository, manifest, bytes, 0, { children: CHILDREN_MAX, bytes: BYTES_MAX })
}

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

interface LabelParts {
  metadata: Metadata
  reader: Pick<ContentReader, 'readPushed'>
  readLabels: LabelReader
}

/** Finds the labels that a search shows, for manifests from a push, from an upstream, and from an older data folder. */
export function labelIndex({ metadata, reader, readLabels }: LabelParts) {
  let isStopped = false
  let reading: Promise<void> = Promise.resolve()
  const read = async (row: UnlabelledManifest): Promise<ReadLabels> => ({
    repositoryId: row.repositoryId,
    digest: row.digest,
    labels: await ofStored(row).catch(() => []),
  })
  const ofStored = async ({ repository, digest, mediaType }: UnlabelledManifest) => {
    const bytes = metadata.manifests.findBytes(digest)
    if (bytes === undefined) return []
    if (bytes.length <= INLINE_BYTES_MAX) return await of(repository, readManifest(bytes, mediaType), bytes)
    const copy = Uint8Array.from(bytes)
    const push = { repository, reference: { digest }, tags: [], contentType: mediaType, bytes: copy }
    return await of(repository, (await reader.readPushed(push, SCHEMA1)).manifest, bytes)
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
      const found: ReadLabels[] = []
      for (const row of await metadata.labels.withConfig(repository, digest, BATCH)) {
        found.push(await read(row))
        await turn()
      }
      if (found.length > 0) await metadata.write('addLabels', { read: found })
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
