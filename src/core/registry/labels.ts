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
import { readBlob } from '../read-blob.ts'
import type { SmallBlobs } from './small-blobs.ts'

/** The config of an image may have so many bytes; of a larger one the labels are not read. */
const CONFIG_BYTES_MAX = 1024 * 1024

/** An index with more manifests below it, or more indexes one in the other, has its own annotations only. */
const CHILDREN_MAX = 100
const DEPTH_MAX = 3

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
  const ofConfig = async (repository: RepositoryName, digest: Digest): Promise<Labels> => {
    const bytes = await findConfig(repository, digest)
    return bytes === undefined ? {} : labelsOfConfig(bytes)
  }

  const ofChildren = async (
    repository: RepositoryName,
    bytes: Uint8Array,
    depth: number,
  ): Promise<Labels> => {
    const children = imageChildren(readParts(bytes))
    if (depth === DEPTH_MAX || children.length > CHILDREN_MAX) return {}
    const found: Labels[] = []
    for (const digest of children) {
      const row = metadata.manifests.findByDigest(repository, digest)
      if (row === undefined) return {}
      const child = metadata.manifests.getBytes(row)
      found.push(await read(repository, readManifest(child, row.mediaType), child, depth + 1))
      if (Object.keys(commonLabels(found)).length === 0) return {}
    }
    return commonLabels(found)
  }

  const read = async (
    repository: RepositoryName,
    { mediaType, artifactType, annotations, references }: Manifest,
    bytes: Uint8Array,
    depth: number,
  ): Promise<Labels> => {
    if (references.some(({ role }) => role === 'child')) {
      return { ...(await ofChildren(repository, bytes, depth)), ...annotations }
    }
    if (isSchema1Type(mediaType)) return labelsOfConfig(Buffer.from(configOf(bytes)))
    const config = references.find(({ role }) => role === 'config')
    if (config === undefined || artifactType === undefined || !isImageConfig(artifactType))
      return annotations ?? {}
    return { ...(await ofConfig(repository, config.digest)), ...annotations }
  }

  return (repository, manifest, bytes) => read(repository, manifest, bytes, 0)
}
