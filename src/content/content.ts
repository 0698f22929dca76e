import { LRUCache } from 'lru-cache'
import type { ProxyCache } from '../cache/cache.ts'
import type { Metadata } from '../database/metadata.ts'
import { mapInSlices } from '../http/list-page.ts'
import { type ArtifactTraits, artifactKind, artifactTraits } from '../oci/artifact-kind.ts'
import { type HistoryEntry, type ImageConfig, type Platform, parseLeniently } from '../oci/image-config.ts'
import type { Part } from '../oci/manifest.ts'
import type { ImageBrief, ManifestBrief } from '../oci/manifest-brief.ts'
import type { Digest, Reference, RepositoryName, Tag } from '../oci/reference.ts'
import {
  type Blobs,
  type Registry,
  type RequireLocal,
  readBlob,
  unknownIn,
  unknownManifest,
} from '../registry/registry.ts'
import type { GarbageWindow, ManifestRow } from '../registry/store.ts'
import { turn } from '../runtime/clock.ts'
import type { Releasing } from '../runtime/idle-memory.ts'
import type { ListedManifest } from './store.ts'

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

/** What the services for content share. */
export interface ContentParts {
  metadata: Metadata
  registry: Registry
  reader: Briefs
  garbageWindow: GarbageWindow
  descriptions: Descriptions
  cache: ProxyCache
  requireLocal: RequireLocal
  /** Changes manifests, large ones one at a time; `bytes` is the size. */
  largePushes: {
    change<T>(account: string | undefined, bytes: number, change: () => Promise<T>): Promise<T>
  }
  /** Returns milliseconds since 1970. */
  now: () => number
}

/** A manifest described for people: its kind, its parts, and how it was built. */
export interface ManifestDescription extends ListedManifest {
  /** In words: "Helm chart", "Container image". */
  kind: string
  /** The bytes of the manifest and everything it references, directly or not. Each digest counts once. */
  totalBytes: number
  config: Part | undefined
  /** With the command that created each, if the history names one, and whether the repository has its bytes. */
  layers: (Part & { createdBy: string | undefined; exists: boolean })[]
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

/** An entry of an index. */
interface ChildDescription extends Part {
  kind: string | undefined
  platform: Platform | undefined
  totalBytes: number
  exists: boolean
}

/** The properties that determine a manifest's kind. */
type KindOf = Pick<ListedManifest, 'digest' | 'mediaType' | 'size'> & {
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

/** Shortens manifests and configs for people. Large ones are read in another thread, and cached. */
export interface Briefs {
  /** Its bytes are fetched only when the brief is not cached. */
  manifestBrief(
    row: Pick<ManifestRow, 'digest' | 'mediaType' | 'size'>,
    findBytes: () => Uint8Array | undefined,
  ): Promise<ManifestBrief | undefined>
  imageBrief(digest: Digest, bytes: Uint8Array): Promise<ImageBrief>
}

/** Describes the manifests of a data folder. */
export function descriptions(metadata: Metadata, blobs: Pick<Blobs, 'open'>, reader: Briefs): Descriptions {
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
function configs(blobs: Pick<Blobs, 'open'>, reader: Briefs) {
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

/** How many bytes of manifests are read for one answer. */
const BYTES_MAX = 8 * 1024 * 1024
/** How many bytes a manifest counts for at least. */
const BYTES_EACH_MIN = 4096

/** How many parts are looked up in the database for one answer, to add up sizes. */
const LOOKUPS_MAX = 50_000

/** After this many bytes, or lookups, other requests get a turn. */
const TURN_BYTES = 256 * 1024
const TURN_LOOKUPS = 250

/** How deep nested indexes are followed. */
const DEPTH_MAX = 3

export interface ReadManifest {
  row: Pick<ManifestRow, 'id' | 'digest' | 'storedAs' | 'mediaType' | 'size'>
  brief: ManifestBrief
}

/** Reads the manifests that one answer needs from one repository: each once, within a total number of bytes. */
export class ManifestReading {
  /** Whether something was not read because of the limits. */
  truncated = false
  private readonly metadata: Metadata
  private readonly reader: Briefs
  private readonly repository: RepositoryName
  private readonly read = new Map<number, ReadManifest>()
  private bytesLeft = BYTES_MAX
  private bytesInTurn = 0
  private lookupsLeft = LOOKUPS_MAX

  constructor(metadata: Metadata, reader: Briefs, repository: RepositoryName) {
    this.metadata = metadata
    this.reader = reader
    this.repository = repository
  }

  /** Returns a manifest if it is stored and within the limits. `exists` says whether it is stored. */
  async find(digest: Digest): Promise<{ exists: boolean; manifest: ReadManifest | undefined }> {
    const row = this.metadata.manifests.findByDigest(this.repository, digest)
    return { exists: row !== undefined, manifest: row && (await this.get(row)) }
  }

  /** Returns the manifest of a row, unless it was just removed. The first one is read whatever its size. */
  async get(row: ReadManifest['row']): Promise<ReadManifest | undefined> {
    const known = this.read.get(row.id)
    if (known) return known
    const bytes = Math.max(row.size, BYTES_EACH_MIN)
    if (bytes > this.bytesLeft && this.read.size > 0) {
      this.truncated = true
      return undefined
    }
    const brief = await this.reader.manifestBrief(row, () => this.metadata.manifests.findBytes(row.storedAs))
    if (brief === undefined) return undefined
    this.bytesLeft -= bytes
    const found = { row, brief }
    if (found.brief.truncated) this.truncated = true
    this.read.set(row.id, found)
    await this.count(row.size)
    return found
  }

  /** Counts bytes that were read, also of what a manifest references. Other requests get a turn now and then. */
  async count(bytes: number): Promise<void> {
    this.bytesInTurn += bytes
    if (this.bytesInTurn <= TURN_BYTES) return
    this.bytesInTurn = 0
    await turn()
  }

  /**
   * Sums the bytes of a manifest and everything it references. Each digest counts once. Sets `truncated` if the limits left
   * something out.
   */
  async totalBytes({ row, brief }: ReadManifest): Promise<number> {
    const sizes = new Map<Digest, number>()
    await this.weigh(brief, sizes, 0)
    return sizes.values().reduce((sum, one) => sum + one, row.size)
  }

  private async weigh(
    { config, layers, children, truncated }: ManifestBrief,
    sizes: Map<Digest, number>,
    depth: number,
  ): Promise<void> {
    if (truncated) this.truncated = true
    for (const { digest, size } of [...(config ? [config] : []), ...layers]) {
      const isKnown = size > 0 || !(await this.mayLookUp())
      sizes.set(digest, isKnown ? size : (this.metadata.blobs.findSize(this.repository, digest) ?? 0))
    }
    for (const { digest, size } of children) {
      if (sizes.has(digest)) continue
      sizes.set(digest, size)
      if (depth === DEPTH_MAX || !(await this.mayLookUp())) continue
      const { manifest } = await this.find(digest)
      if (manifest) await this.weigh(manifest.brief, sizes, depth + 1)
    }
  }

  /** Counts a lookup. Returns whether it is within the limit. */
  private async mayLookUp(): Promise<boolean> {
    if (this.lookupsLeft === 0) {
      this.truncated = true
      return false
    }
    this.lookupsLeft--
    if (this.lookupsLeft % TURN_LOOKUPS === 0) await turn()
    return true
  }
}
