import { LRUCache } from 'lru-cache'
import type { Blobs } from '../../domain/registry.ts'
import type { Releasing } from '../../idle-memory.ts'
import type { ListedManifest } from '../../metadata/content/repositories/catalog.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type ArtifactTraits, artifactKind, artifactTraits } from '../../oci/artifact-kind.ts'
import type { Digest } from '../../oci/digest.ts'
import type { HistoryEntry, ImageConfig, Platform } from '../../oci/image-config.ts'
import { parseLeniently } from '../../oci/lenient-json.ts'
import type { ImageBrief, ManifestBrief } from '../../oci/manifest-brief.ts'
import type { Part } from '../../oci/manifest-parts.ts'
import type { Reference, RepositoryName, Tag } from '../../oci/reference.ts'
import type { ContentReader } from '../content-reader.ts'
import { mapInSlices } from '../page.ts'
import { readBlob } from '../read-blob.ts'
import { unknownManifest } from '../registry/local-manifests.ts'
import { unknownIn } from '../unknown.ts'
import { ManifestReading } from './manifest-reading.ts'

/** The largest config that is read for a description, in bytes. */
const CONFIG_BYTES_MAX = 8 * 1024 * 1024

/** The largest manifest that is read to list it, in bytes. A larger one is listed from its row alone. */
const LISTED_BYTES_MAX = 16 * 1024

/** The largest config that is read to list its manifest, in bytes. A larger one is listed without a platform. */
const LISTED_CONFIG_BYTES_MAX = 64 * 1024

/** The size of the cache of kinds, in characters of keys and values. */
const KIND_CHARACTERS_MAX = 4 * 1024 * 1024

/** How many platforms an outline names. */
const PLATFORMS_MAX = 32

/** How many tags a description names. */
const TAGS_MAX = 100

/** A manifest described for people: its kind, its parts, and how it was built. */
export interface ManifestDescription extends ListedManifest {
  /** In words: "Helm chart", "Container image". */
  kind: string
  /** The bytes of the manifest and everything it references, directly or not. Each digest counts once. */
  totalBytes: number
  config: Part | undefined
  layers: LayerDescription[]
  history: (HistoryEntry & { layer: Digest | undefined })[]
  /** The manifests of an index. */
  manifests: ChildDescription[]
  /** What the config says, when this is an image and the config is stored. */
  image: ImageConfig | undefined
  annotations: Record<string, string>
  tags: Tag[]
  /** Whether the description was truncated. */
  truncated: boolean
}

export interface LayerDescription extends Part {
  /** The command that created it, if the history names one. */
  createdBy: string | undefined
  /** Whether the repository has its bytes. */
  exists: boolean
}

export interface ChildDescription extends Part {
  kind: string | undefined
  platform: Platform | undefined
  totalBytes: number
  exists: boolean
}

/** The properties that determine a manifest's kind. */
export type KindOf = Pick<ListedManifest, 'digest' | 'mediaType' | 'size'> & {
  artifactType?: string | null | undefined
}

/** What a list of tags shows of their manifests on request. */
export interface Outline {
  /** As in a description; undefined if the manifest references too much to be read for a list. */
  totalBytes: number | undefined
  /** `os/architecture` and, if given, `/variant`: of the image, or of the images of an index. */
  platforms: string[]
}

export interface Descriptions extends Releasing {
  /** Describes a manifest as of `now`, in milliseconds since 1970. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. */
  describe(repository: RepositoryName, reference: Reference, now: number): Promise<ManifestDescription>
  /** Returns the outline of each manifest of a repository, in the same order. */
  outline(repository: RepositoryName, digests: readonly Digest[]): Promise<Outline[]>
  /** Returns a manifest's kind in words, without reading its config. */
  kindOf(manifest: KindOf): string
}

/** Describes the manifests of a data folder. */
export function descriptions(
  metadata: Metadata,
  blobs: Pick<Blobs, 'open'>,
  reader: ContentReader,
): Descriptions {
  const readConfig = configs(blobs, reader)
  const { kindOf, releaseMemory } = kinds(metadata)
  return {
    kindOf,
    releaseMemory,

    async outline(repository, digests) {
      const reading = new ManifestReading(metadata, reader, repository)
      return await mapInSlices(digests, async (digest) => {
        const { manifest } = await reading.find(digest)
        if (manifest === undefined) return { totalBytes: undefined, platforms: [] }
        const { brief } = manifest
        const isIndex = brief.children.length > 0
        const config = isIndex ? undefined : brief.config
        const read = config && (await readConfig(repository, config, LISTED_CONFIG_BYTES_MAX))
        // The size in the manifest may be wrong.
        if (config) await reading.count(LISTED_CONFIG_BYTES_MAX)
        const platforms = isIndex
          ? brief.children.map(({ platform }) => platform)
          : [imageOf(read, brief)?.platform]
        reading.truncated = false
        const totalBytes = await reading.totalBytes(manifest)
        return {
          totalBytes: reading.truncated ? undefined : totalBytes,
          platforms: [...new Set(platforms.flatMap((platform) => namesOf(platform)))].slice(0, PLATFORMS_MAX),
        }
      })
    },

    async describe(repository, reference, now) {
      const row = metadata.manifests.find(repository, reference, now)
      const entry = row && (await metadata.catalog.manifestOf(row.id))
      const reading = new ManifestReading(metadata, reader, repository)
      const manifest = row && (await reading.get(row))
      if (row === undefined || entry === undefined || manifest === undefined) {
        throw unknownIn(metadata, repository, unknownManifest(repository, reference))
      }
      const { brief } = manifest
      const config = brief.config && (await readConfig(repository, brief.config, CONFIG_BYTES_MAX))
      const image = imageOf(config, brief)
      const tags = await metadata.tags.ofManifest(row.id, '', TAGS_MAX + 1, now)
      const manifests: ChildDescription[] = []
      for (const part of brief.children) manifests.push(await describeChild(reading, part))
      return {
        ...entry,
        digest: row.digest,
        kind: artifactKind(withImage(brief.traits, image)),
        totalBytes: await reading.totalBytes(manifest),
        config: brief.config,
        ...withMakers(metadata, repository, brief, image?.history ?? []),
        manifests,
        image,
        annotations: brief.annotations,
        tags: tags.slice(0, TAGS_MAX),
        truncated: tags.length > TAGS_MAX || config?.truncated === true || reading.truncated,
      }
    },
  }
}

/** Reads configs. Returns undefined for one that is larger than `bytesMax` bytes, or cannot be read. */
function configs(blobs: Pick<Blobs, 'open'>, reader: ContentReader) {
  return async (
    repository: RepositoryName,
    { digest }: Part,
    bytesMax: number,
  ): Promise<ImageBrief | undefined> => {
    try {
      const bytes = await readBlob(await blobs.open(repository, digest), bytesMax)
      return bytes && (await reader.imageBrief(digest, bytes))
    } catch {
      // The bytes were removed meanwhile or cannot be read. A pull reports that.
      return undefined
    }
  }
}

/**
 * Determines kinds from rows and the manifests' bytes. The bytes of a digest never change, so the result is cached.
 */
function kinds(metadata: Metadata): Pick<Descriptions, 'kindOf' | 'releaseMemory'> {
  const remembered = new LRUCache<string, string>({
    maxSize: KIND_CHARACTERS_MAX,
    sizeCalculation: (kind, key) => key.length + kind.length,
  })
  return {
    releaseMemory: () => remembered.clear(),
    kindOf({ digest, mediaType, artifactType, size }) {
      const key = `${digest} ${mediaType}`
      const known = remembered.get(key)
      if (known !== undefined) return known
      const isRead = size <= LISTED_BYTES_MAX
      const bytes = isRead ? metadata.manifests.findBytes(digest) : undefined
      // A row's artifact type is the config's media type when the manifest has no artifactType.
      const said = { artifactType, config: { mediaType: artifactType } }
      const document = bytes === undefined ? said : parseLeniently(bytes)
      const kind = artifactKind(artifactTraits(document, mediaType))
      if (bytes !== undefined) remembered.set(key, kind)
      return kind
    },
  }
}

/** Returns the name of a platform; none for the `unknown/unknown` that marks attestations. */
function namesOf(platform: Platform | undefined): string[] {
  if (platform === undefined || platform.os === 'unknown') return []
  const { os, architecture, variant } = platform
  return [variant ? `${os}/${architecture}/${variant}` : `${os}/${architecture}`]
}

async function describeChild(reading: ManifestReading, part: Part): Promise<ChildDescription> {
  const { exists, manifest } = await reading.find(part.digest)
  if (manifest === undefined) return { ...part, kind: undefined, totalBytes: part.size, exists }
  const kind = artifactKind(manifest.brief.traits)
  return { ...part, kind, totalBytes: await reading.totalBytes(manifest), exists }
}

/** Pairs the layers with the history entries that created them. */
function withMakers(
  metadata: Metadata,
  repository: RepositoryName,
  { layers, layerCount }: ManifestBrief,
  history: HistoryEntry[],
) {
  const makers = makersOf(history, layerCount)
  const made = new Map(makers.map((entry, index) => [entry, layers[index]?.digest]))
  return {
    layers: layers.map((part, index) => ({
      ...part,
      createdBy: makers[index]?.createdBy,
      exists: metadata.blobs.findSize(repository, part.digest) !== undefined,
    })),
    history: history.map((entry) => ({ ...entry, layer: made.get(entry) })),
  }
}

/** Returns the image's config. One with neither a platform nor a history is not an image's. */
function imageOf(config: ImageBrief | undefined, brief: ManifestBrief): ImageConfig | undefined {
  const image = brief.image === undefined ? config?.image : { ...brief.image, history: brief.history }
  return image === undefined || (image.platform === undefined && image.history.length === 0)
    ? undefined
    : image
}

/** Adds what the config says to the traits. */
function withImage(traits: ArtifactTraits, image: ImageConfig | undefined): ArtifactTraits {
  const { platform, labels = {} } = image ?? {}
  return {
    ...traits,
    labels: [...traits.labels, ...Object.keys(labels)],
    platforms: [...traits.platforms, ...(platform ? [`${platform.os}/${platform.architecture}`] : [])],
  }
}

/**
 * Returns the history entries that created the layers, in order. Some tools write a history that omits layers, so this
 * returns none when the numbers differ. In Docker schema 1 an entry that changes no file has a layer, too.
 */
function makersOf(history: HistoryEntry[], layers: number): HistoryEntry[] {
  const making = history.length === layers ? history : history.filter(({ isEmpty }) => !isEmpty)
  return making.length === layers ? making : []
}
