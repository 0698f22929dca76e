import { LRUCache } from 'lru-cache'
import type { Blobs } from '../../domain/registry.ts'
import type { ListedManifest } from '../../metadata/content/catalog.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type ArtifactTraits, artifactKind, artifactTraits } from '../../oci/artifact-kind.ts'
import { type Digest, digestToBytes } from '../../oci/digest.ts'
import type { HistoryEntry, ImageConfig, Platform } from '../../oci/image-config.ts'
import { parseLeniently } from '../../oci/lenient-json.ts'
import type { ImageBrief, ManifestBrief } from '../../oci/manifest-brief.ts'
import type { Part } from '../../oci/manifest-parts.ts'
import type { Reference, RepositoryName, Tag } from '../../oci/reference.ts'
import type { ContentReader } from '../content-reader.ts'
import { readBlob } from '../read-blob.ts'
import { unknownManifest } from '../registry/local-manifests.ts'
import { unknownIn } from '../unknown.ts'
import { ManifestReading } from './manifest-reading.ts'

/** The largest config that is read for a description, in bytes. */
const CONFIG_BYTES_MAX = 8 * 1024 * 1024

/** The largest manifest that is read for its line in a list, in bytes; of a larger one the row must do. */
const LISTED_BYTES_MAX = 16 * 1024

/** The characters of all kinds that are remembered, with what they are remembered by. */
const KIND_CHARACTERS_MAX = 4 * 1024 * 1024

/** Tags that are named. */
const TAGS_MAX = 100

/** A manifest for people: what it is, what it is made of, and how it was made. */
export interface ManifestDescription extends ListedManifest {
  /** In words: "Helm chart", "Container image". */
  kind: string
  /** The bytes of the manifest and everything below it that its descriptors tell of, each digest once. */
  totalBytes: number
  config: Part | undefined
  layers: LayerDescription[]
  history: (HistoryEntry & { layer: Digest | undefined })[]
  /** The manifests of an index. */
  manifests: ChildDescription[]
  /** What the config says, of an image whose config is here. */
  image: ImageConfig | undefined
  annotations: Record<string, string>
  tags: Tag[]
  /** There is more than is told. */
  truncated: boolean
}

export interface LayerDescription extends Part {
  /** The command that made it, where the history says so. */
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

/** What of a manifest its kind is told by. */
export type KindOf = Pick<ListedManifest, 'digest' | 'mediaType' | 'size'> & {
  artifactType?: string | null | undefined
}

export interface Descriptions {
  /** Throws NAME_UNKNOWN or MANIFEST_UNKNOWN; `now` is milliseconds since 1970, for tags end. */
  describe(repository: RepositoryName, reference: Reference, now: number): Promise<ManifestDescription>
  /** What a manifest is, in words, without a look at its config. */
  kindOf(manifest: KindOf): string
}

/** Describes the manifests of a data folder. */
export function descriptions(
  metadata: Metadata,
  blobs: Pick<Blobs, 'open'>,
  reader: ContentReader,
): Descriptions {
  const readConfig = async (
    repository: RepositoryName,
    { digest }: Part,
  ): Promise<ImageBrief | undefined> => {
    try {
      const bytes = await readBlob(await blobs.open(repository, digest), CONFIG_BYTES_MAX)
      return bytes && (await reader.imageBrief(digest, bytes))
    } catch {
      // Its bytes are gone meanwhile, or cannot be read: whoever pulls it hears of that.
      return undefined
    }
  }
  const { kindOf } = kinds(metadata)
  return {
    kindOf,

    async describe(repository, reference, now) {
      const row = metadata.manifests.find(repository, reference, now)
      const entry = row && (await metadata.catalog.manifestOf(row.id))
      const reading = new ManifestReading(metadata, reader, repository)
      const manifest = row && (await reading.get(row))
      if (row === undefined || entry === undefined || manifest === undefined) {
        throw unknownIn(metadata, repository, unknownManifest(repository, reference))
      }
      const { brief } = manifest
      const config = brief.config && (await readConfig(repository, brief.config))
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

/**
 * Kinds by what a row and the manifest's bytes say. The bytes of a digest are always the same ones, so what they say is
 * remembered.
 */
function kinds(metadata: Metadata): Pick<Descriptions, 'kindOf'> {
  const remembered = new LRUCache<string, string>({
    maxSize: KIND_CHARACTERS_MAX,
    sizeCalculation: (kind, key) => key.length + kind.length,
  })
  return {
    kindOf({ digest, mediaType, artifactType, size }) {
      const key = `${digest} ${mediaType}`
      const known = remembered.get(key)
      if (known !== undefined) return known
      const isRead = size <= LISTED_BYTES_MAX
      const bytes = isRead ? metadata.manifests.findBytes({ storedAs: digestToBytes(digest) }) : undefined
      // The type of a row is that of the config where the manifest has none of its own.
      const said = { artifactType, config: { mediaType: artifactType } }
      const document = bytes === undefined ? said : parseLeniently(bytes)
      const kind = artifactKind(artifactTraits(document, mediaType))
      if (bytes !== undefined) remembered.set(key, kind)
      return kind
    },
  }
}

async function describeChild(reading: ManifestReading, part: Part): Promise<ChildDescription> {
  const { exists, manifest } = await reading.find(part.digest)
  if (manifest === undefined) return { ...part, kind: undefined, totalBytes: part.size, exists }
  const kind = artifactKind(manifest.brief.traits)
  return { ...part, kind, totalBytes: await reading.totalBytes(manifest), exists }
}

/** The layers with what made them, and the history with the layers that it made. */
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

/** A config that tells neither a platform nor a history is none of an image. */
function imageOf(config: ImageBrief | undefined, brief: ManifestBrief): ImageConfig | undefined {
  const image = brief.image === undefined ? config?.image : { ...brief.image, history: brief.history }
  return image === undefined || (image.platform === undefined && image.history.length === 0)
    ? undefined
    : image
}

/** With what the config says, too. */
function withImage(traits: ArtifactTraits, image: ImageConfig | undefined): ArtifactTraits {
  const { platform, labels = {} } = image ?? {}
  return {
    ...traits,
    labels: [...traits.labels, ...Object.keys(labels)],
    platforms: [...traits.platforms, ...(platform ? [`${platform.os}/${platform.architecture}`] : [])],
  }
}

/**
 * The entries of the history that made the layers, in their order; none unless the two agree in number, for some tools
 * write a history that leaves layers out. In Docker schema 1 also an entry that changes no file has a layer.
 */
function makersOf(history: HistoryEntry[], layers: number): HistoryEntry[] {
  const making = history.length === layers ? history : history.filter(({ isEmpty }) => !isEmpty)
  return making.length === layers ? making : []
}
