import { configOf, isSchema1Type, readManifest } from '../../docker/schema1.ts'
import type { Blobs } from '../../domain/registry.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/error.ts'
import { commonLabels, type Labels, labelsOfConfig } from '../../oci/labels.ts'
import type { Manifest } from '../../oci/manifest.ts'
import { imageChildren, readParts } from '../../oci/manifest-parts.ts'
import { isImageConfig } from '../../oci/media-type.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import { readBlob } from '../read-blob.ts'
import type { SmallBlobs } from './small-blobs.ts'

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

/**
 * Reads the labels of a manifest: its own annotations, and the labels of its config, or for an index those that all its
 * images have.
 *
 * @param bytes the bytes of the manifest
 */
export type LabelReader = (
  repository: RepositoryName,
  manifest: Manifest,
  bytes: Uint8Array,
) => Promise<Labels>

/** Returns the bytes of an image's config; undefined if it is too large, or not in the repository. */
export type FindConfig = (repository: RepositoryName, digest: Digest) => Promise<Uint8Array | undefined>

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

/** Returns a reader of labels for the content of a data folder. */
export function labelReader(metadata: Metadata, findConfig: FindConfig): LabelReader {
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
    if (config === undefined || artifactType === undefined || !isImageConfig(artifactType))
      return annotations ?? {}
    return { ...(await ofConfig(repository, config.digest, budget)), ...annotations }
  }

  return (repository, manifest, bytes) =>
    read(repository, manifest, bytes, 0, { children: CHILDREN_MAX, bytes: BYTES_MAX })
}
