import { configOf, isSchema1Type, readManifest } from '../../docker/schema1.ts'
import type { Blobs } from '../../domain/registry.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { turn } from '../../metadata/turn.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/error.ts'
import { commonLabels, type Labels, labelsOfConfig } from '../../oci/labels.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { imageChildren, readParts } from '../../oci/manifest-parts.ts'
import { isImageConfig } from '../../oci/media-type.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { readBlob } from '../read-blob.ts'
import type { SmallBlobs } from './small-blobs.ts'

/** The config of an image may have so many bytes; of a larger one the labels are not read. */
const CONFIG_BYTES_MAX = 1024 * 1024

/**
 * An index has its own annotations only if there are more manifests below it, at all depths together, or if these and
 * their configs have more bytes, or if more indexes are nested.
 */
const CHILDREN_MAX = 100
const BYTES_MAX = 4 * 1024 * 1024
const DEPTH_MAX = 3

/** How long labels are read before other requests get a turn. */
const TURN_MS = 3

/** What may still be read below an index. */
interface Budget {
  children: number
  bytes: number
}

/**
 * Reads the labels of a manifest: of an image, those of its config; of an index, those that all its images have; and
 * the manifest's own annotations.
 *
 * @param bytes the manifest's
 */
export type ReadLabels = (
  repository: RepositoryName,
  manifest: Manifest,
  bytes: Uint8Array,
) => Promise<Labels>

/** The bytes of an image's config; undefined when the repository has none, or a large one. */
export type FindConfig = (repository: RepositoryName, digest: Digest) => Promise<Uint8Array | undefined>

/** Finds configs among what was just pushed, then in the repository. Writing the manifest checks that it is there. */
export function configReader(blobs: Pick<Blobs, 'open'>, pushed: Pick<SmallBlobs, 'findPushed'>): FindConfig {
  return async (repository, digest) => {
    const bytes = pushed.findPushed(repository, digest)
    if (bytes) return bytes
    try {
      return await readBlob(await blobs.open(repository, digest), CONFIG_BYTES_MAX)
    } catch (error) {
      // A registry may take images without their config.
      if (error instanceof RegistryError && error.status === 404) return undefined
      throw error
    }
  }
}

/** Labels of what a data folder holds. */
export function labelReader(metadata: Metadata, findConfig: FindConfig): ReadLabels {
  const ofConfig = async (repository: RepositoryName, digest: Digest, budget: Budget): Promise<Labels> => {
    const bytes = await findConfig(repository, digest)
    if (bytes === undefined) return {}
    budget.bytes -= bytes.length
    return labelsOfConfig(bytes)
  }

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
      const child = metadata.manifests.getBytes(row)
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
    if (config === undefined || artifactType === undefined || !isImageConfig(artifactType))
      return annotations ?? {}
    return { ...(await ofConfig(repository, config.digest, budget)), ...annotations }
  }

  return (repository, manifest, bytes) =>
    read(repository, manifest, bytes, 0, { children: CHILDREN_MAX, bytes: BYTES_MAX })
}
