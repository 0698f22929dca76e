import { LRUCache } from 'lru-cache'
import type { Metadata } from '../database/metadata.ts'
import type { Refusal } from '../docker/conversion.ts'
import { isSchema1Type, parseSchema1, type Schema1Layer } from '../docker/schema1.ts'
import { parseSignedDocument } from '../docker/signed-document.ts'
import { formatV1Id, isV1IdOf, parseV1Id, type V1Id, type V1Manifest, v1Json } from '../docker/v1.ts'
import { registryError } from '../oci/error.ts'
import { findPlatform, isIndex, readParts } from '../oci/manifest.ts'
import type { Digest, RepositoryName, Tag } from '../oci/reference.ts'
import type { Registry, StoredManifest } from '../registry/registry.ts'
import { turn } from '../runtime/clock.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    /** Images of Docker's V1 API; undefined if that is disabled. */
    v1Images: V1Images | undefined
  }
}

/** How many tags of a repository are listed, and how many are read at a time. */
const TAGS_MAX = 10_000
const TAGS_PER_READ = 500

/** V1 clients cannot choose a platform. */
const PLATFORM = { os: 'linux', architecture: 'amd64' }

/** V1 images do not depend on the tag they are pulled by. */
const ANY_TAG = 'latest' as Tag

/** The size of the cache of parsed images, in characters, and the overhead of each layer. */
const PARSED_CHARACTERS_MAX = 8 * 1024 * 1024
const LAYER_CHARACTERS = 200

/** The database fact that holds the key for ids. */
const KEY_FACT = 'v1-id-key'

/** The image that an id names: one layer of a manifest. */
export interface V1Image {
  repository: RepositoryName
  layer: number
  manifest: V1Manifest
}

export interface V1ImageOptions {
  metadata: Metadata
  registry: Pick<Registry, 'manifests' | 'blobs'>
  /** Converts images to Docker schema 1. */
  conversions: {
    convert(
      repository: RepositoryName,
      tag: Tag,
      image: StoredManifest,
    ): Promise<{ payload: Uint8Array } | Refusal>
  }
  /** Milliseconds since 1970. */
  now: () => number
}

/**
 * Serves images in the form of Docker's V1 API, where each layer is an image, whatever format it was pushed in. An id
 * is made from the layer's position and a key, so it survives restarts without being stored.
 */
export class V1Images {
  private readonly options: V1ImageOptions
  private readonly key: Buffer
  private readonly parsed = new LRUCache<string, Schema1Layer[]>({
    maxSize: PARSED_CHARACTERS_MAX,
    sizeCalculation: (layers) =>
      layers.reduce((sum, { v1Compatibility }) => sum + v1Compatibility.length + LAYER_CHARACTERS, 0),
  })

  private constructor(options: V1ImageOptions, key: Buffer) {
    this.options = options
    this.key = key
  }

  /** Drops the parsed images. */
  releaseMemory(): void {
    this.parsed.clear()
  }

  /** Opens the service. The first call creates the key for ids. */
  static async open(options: V1ImageOptions): Promise<V1Images> {
    const { metadata } = options
    if (metadata.credentials.fact(KEY_FACT) === undefined) {
      const value = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
      await metadata.write('addFact', { name: KEY_FACT, value })
    }
    return new V1Images(options, Buffer.from(metadata.credentials.fact(KEY_FACT) ?? '', 'hex'))
  }

  /** Returns the leaf of each image for the first TAGS_MAX tags, including images that V1 cannot serve. */
  async listTags(repository: RepositoryName): Promise<Record<Tag, V1Id>> {
    const tags: [Tag, V1Id][] = []
    for (let last = ''; tags.length < TAGS_MAX; last = tags.at(-1)?.[0] ?? '') {
      const rows = await this.options.metadata.v1Images.tags(
        repository,
        last,
        TAGS_PER_READ,
        this.options.now(),
      )
      for (const row of rows) tags.push([row.tag, this.idOf(row, 0)])
      if (rows.length < TAGS_PER_READ) break
      await turn()
    }
    return Object.fromEntries(tags)
  }

  /** Returns the leaf of a tag's image. */
  async findTag(repository: RepositoryName, tag: Tag): Promise<V1Id | undefined> {
    const row = await this.options.metadata.v1Images.findTag(repository, tag, this.options.now())
    return row && this.idOf(row, 0)
  }

  /** Returns the image that an id names, while its manifest exists. Does not check whether the client may see it. */
  async find(id: string): Promise<V1Image | undefined> {
    const place = parseV1Id(id)
    const row = place && (await this.options.metadata.v1Images.find(place.manifest))
    if (row === undefined || !isV1IdOf(this.key, id, row)) return undefined
    return { repository: row.repository, layer: place?.layer ?? 0, manifest: row }
  }

  /** Returns the ids of the image and all below it, base last. Throws MANIFEST_UNKNOWN with the reason. */
  async ancestry(image: V1Image): Promise<V1Id[]> {
    const layers = await this.layersOf(image)
    return layers.slice(image.layer).map((_, index) => this.idOf(image.manifest, image.layer + index))
  }

  /** Returns the JSON of an image and the size of its layer in bytes. Throws MANIFEST_UNKNOWN. */
  async json(image: V1Image): Promise<{ json: string; size: number }> {
    const { layer, manifest } = image
    const layers = await this.layersOf(image)
    const { blobSum, v1Compatibility } = layerAt(layers, layer)
    const size = await this.options.registry.blobs.getSize(image.repository, blobSum)
    const parent = layer + 1 < layers.length ? this.idOf(manifest, layer + 1) : undefined
    return { json: v1Json(v1Compatibility, { id: this.idOf(manifest, layer), parent, size }), size }
  }

  /** Returns the digest of an image's layer. Throws MANIFEST_UNKNOWN. */
  async layer(image: V1Image): Promise<Digest> {
    return layerAt(await this.layersOf(image), image.layer).blobSum
  }

  /** Returns the layers of the image's manifest, leaf first. */
  private async layersOf({ repository, manifest, layer }: V1Image): Promise<Schema1Layer[]> {
    const stored = await this.options.registry.manifests.get(repository, { digest: manifest.digest })
    const layers = await this.read(repository, stored)
    layerAt(layers, layer)
    return layers
  }

  private async read(repository: RepositoryName, stored: StoredManifest): Promise<Schema1Layer[]> {
    const image = isIndex(stored.mediaType) ? await this.childOf(repository, stored) : stored
    const key = `${repository}@${image.digest}`
    if (isSchema1Type(image.mediaType)) {
      return this.parse(key, () => parseSignedDocument(image.bytes).payload)
    }
    const converted = await this.options.conversions.convert(repository, ANY_TAG, image)
    if ('refusal' in converted) throw unknown(converted.refusal)
    return this.parse(key, () => converted.payload)
  }

  /** Parses a payload, with a cache because a pull asks for each layer twice. */
  private parse(key: string, payload: () => Uint8Array): Schema1Layer[] {
    const known = this.parsed.get(key)
    if (known !== undefined) return known
    const { layers } = parseSchema1(payload())
    this.parsed.set(key, layers)
    return layers
  }

  private async childOf(repository: RepositoryName, { bytes }: StoredManifest): Promise<StoredManifest> {
    const child = findPlatform(readParts(bytes), PLATFORM)
    if (child !== undefined)
      return await this.options.registry.manifests.get(repository, { digest: child.digest })
    throw unknown(`it is an index without an image for ${PLATFORM.architecture} and ${PLATFORM.os}`)
  }

  private idOf(row: V1Manifest, layer: number): V1Id {
    return formatV1Id(this.key, row, layer)
  }
}

function layerAt(layers: Schema1Layer[], at: number): Schema1Layer {
  const layer = layers[at]
  if (layer !== undefined) return layer
  throw unknown('it does not have this layer')
}

function unknown(reason: string) {
  const message = `Docker's V1 API cannot serve this image: ${reason}. Pull it with a newer client`
  return registryError('MANIFEST_UNKNOWN', message, { detail: { reason } })
}
