import { LRUCache } from 'lru-cache'
import PQueue from 'p-queue'
import { convertible, EMPTY_LAYER, type Refusal } from '../docker/conversion.ts'
import { newSigningKey, readSigningKey, type SigningKey, signDocument } from '../docker/signed-document.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError, tooManyRequests } from '../oci/error.ts'
import { readParts } from '../oci/manifest.ts'
import { isIndex } from '../oci/media-type.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { ContentReader, ConvertedPayload } from './content-reader.ts'
import type { LocalOptions } from './local-parts.ts'
import type { ConversionSource } from './manifest-reads.ts'
import { type Registry, readBlob, type StoredManifest } from './registry.ts'

/**
 * The largest config that is read for a conversion, in bytes. It is small enough that the result fits the cache, so
 * each is read once. Real configs are a hundredth of this.
 */
const CONFIG_BYTES_MAX = 1024 * 1024

/** How many conversions run at once, and how many may wait. Further ones are refused. */
const CONVERSIONS_AT_ONCE = 2
const CONVERSIONS_WAITING_MAX = 64

/** Memory for cached conversions. */
const CACHE_BYTES_MAX = 16 * 1024 * 1024

/** The approximate overhead of a cache entry, in bytes. */
const ENTRY_BYTES = 512

/** The only refusal that is not permanent: the config may be pushed later. */
const NOT_HERE: Refusal = { refusal: 'its config is not stored here' }

/** An image as a manifest of Docker schema 1. */
export interface ConvertedImage {
  /** The digest of the payload. It stays the same after a restart. */
  digest: Digest
  /** Without a signature. */
  payload: Uint8Array<ArrayBuffer>
  signed: Uint8Array<ArrayBuffer>
  /** Whether it has a layer that the image itself need not have. */
  hasEmptyLayer: boolean
}

/** Stores which images were converted. */
export interface ConversionStore {
  find(repository: RepositoryName, digest: Digest): Promise<ConversionSource | undefined>
  /** Stores a conversion, with the empty layer if it has one, for as long as the image. Durable when it resolves. */
  put(repository: RepositoryName, source: ConversionSource, converted: ConvertedImage): Promise<void>
  /** Returns the key that signs conversions. The first call creates it. */
  signingKey(): Promise<SigningKey>
}

export type ConversionRegistry = Pick<Registry, 'manifests' | 'blobs'>

/**
 * Converts images to Docker schema 1 and caches some results. A result depends only on the image's bytes, the
 * repository's name and the tag, so it never becomes stale. Several images may convert to the same manifest. Its digest
 * is then stored for the last of them.
 */
export class Conversions {
  private readonly registry: ConversionRegistry
  private readonly store: ConversionStore
  private readonly reader: ContentReader
  private readonly now: () => number
  private readonly queue = new PQueue({ concurrency: CONVERSIONS_AT_ONCE })
  private readonly running = new Map<string, Promise<ConvertedImage | Refusal>>()
  private readonly cache = new LRUCache<string, ConvertedImage | Refusal>({
    maxSize: CACHE_BYTES_MAX,
    maxEntrySize: CACHE_BYTES_MAX / 2,
    sizeCalculation: (entry) =>
      ENTRY_BYTES + ('refusal' in entry ? entry.refusal.length : entry.payload.length + entry.signed.length),
  })

  constructor(
    registry: ConversionRegistry,
    store: ConversionStore,
    reader: ContentReader,
    now: () => number,
  ) {
    this.registry = registry
    this.reader = reader
    this.store = store
    this.now = now
  }

  /** Drops the cached conversions. They are created again when they are pulled. */
  releaseMemory(): void {
    this.cache.clear()
  }

  /**
   * Converts an image to schema 1 for a tag, or returns why it cannot. Once this resolves, the manifest can be pulled
   * by digest, and so can each of its layers.
   *
   * @throws RegistryError TOOMANYREQUESTS when too many conversions wait
   */
  async convert(
    repository: RepositoryName,
    tag: Tag,
    image: StoredManifest,
  ): Promise<ConvertedImage | Refusal> {
    const key = `${repository}@${image.digest}:${tag}`
    const made = this.cache.get(key) ?? (await this.makeOnce(key, repository, tag, image))
    if (!('refusal' in made) && (await this.store.find(repository, made.digest)) === undefined) {
      await this.store.put(repository, { manifest: image.digest, tag }, made)
    }
    return made
  }

  /** Repeats the conversion that gave the manifest of this digest. Returns undefined if there was none. */
  async find(repository: RepositoryName, digest: Digest): Promise<ConvertedImage | undefined> {
    const source = await this.store.find(repository, digest)
    if (source === undefined) return undefined
    const image = await this.registry.manifests.get(repository, { digest: source.manifest })
    const converted = await this.convert(repository, source.tag, image)
    return 'refusal' in converted || converted.digest !== digest ? undefined : converted
  }

  /** Signs a manifest of schema 1 with the key of this installation. */
  async sign(payload: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    return signDocument(payload, await this.store.signingKey(), this.now())
  }

  private async makeOnce(
    key: string,
    repository: RepositoryName,
    tag: Tag,
    image: StoredManifest,
  ): Promise<ConvertedImage | Refusal> {
    const known = this.running.get(key)
    if (known !== undefined) return await known
    if (this.queue.size >= CONVERSIONS_WAITING_MAX) throw tooMany()
    const running = this.queue.add(() => this.make(repository, tag, image))
    this.running.set(key, running)
    try {
      const made = await running
      if (made !== NOT_HERE) this.cache.set(key, made)
      return made
    } finally {
      this.running.delete(key)
    }
  }

  private async make(
    repository: RepositoryName,
    tag: Tag,
    image: StoredManifest,
  ): Promise<ConvertedImage | Refusal> {
    const read = await this.read(repository, tag, image)
    if ('refusal' in read) return read
    const { payload, hasEmptyLayer } = read
    const digest = digestOf(payload)
    const made = { digest, payload, signed: await this.sign(payload), hasEmptyLayer }
    const known = await this.store.find(repository, digest)
    if (known?.manifest !== image.digest) {
      await this.store.put(repository, { manifest: image.digest, tag }, made)
    }
    return made
  }

  private async read(
    repository: RepositoryName,
    tag: Tag,
    { bytes, mediaType }: StoredManifest,
  ): Promise<ConvertedPayload | Refusal> {
    if (isIndex(mediaType)) return { refusal: 'it is an index' }
    const image = convertible(readParts(bytes))
    if ('refusal' in image) return image
    const config = await this.readConfig(repository, image.config.digest)
    if ('refusal' in config) return config
    return await this.reader.convert({ name: repository, tag }, image.layers, config.bytes)
  }

  private async readConfig(
    repository: RepositoryName,
    digest: Digest,
  ): Promise<{ bytes: Uint8Array } | Refusal> {
    const { blobs } = this.registry
    try {
      const blob = await blobs.open(repository, digest)
      const bytes = await readBlob(blob, CONFIG_BYTES_MAX)
      return bytes
        ? { bytes }
        : { refusal: `its config has ${blob.size} bytes, more than ${CONFIG_BYTES_MAX}` }
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return NOT_HERE
      throw error
    }
  }
}

function tooMany(): RegistryError {
  const message = 'too many images are being converted to Docker schema 1: try again in a second'
  return tooManyRequests(message, 1)
}

/** The fact of the installation that holds the key of conversions. */
const KEY_FACT = 'schema1-signing-key'

export type ConversionOptions = Pick<LocalOptions, 'metadata' | 'uploads' | 'locks' | 'now'>

/** Stores conversions in this data folder. */
export function localConversions({ metadata, uploads, locks, now }: ConversionOptions): ConversionStore {
  let key: Promise<SigningKey> | undefined
  const readKey = async () => {
    if (metadata.credentials.fact(KEY_FACT) === undefined) {
      await metadata.write('addFact', { name: KEY_FACT, value: newSigningKey() })
    }
    return readSigningKey(metadata.credentials.fact(KEY_FACT) ?? '')
  }
  return {
    find: (repository, digest) => metadata.conversions.find(repository, digest),

    async put(repository, source, { digest, hasEmptyLayer }) {
      const call = { ...source, at: now(), repository, digest }
      if (!hasEmptyLayer) {
        await metadata.write('putConversion', { ...call, layer: undefined })
        return
      }
      const bytes = new Uint8Array(Buffer.from(EMPTY_LAYER.base64, 'base64'))
      const upload = uploads.start(repository, 'sha256')
      try {
        await locks.push(EMPTY_LAYER.digest, async () => {
          const stream = new Blob([bytes]).stream()
          const layer = await uploads.commit(upload, EMPTY_LAYER.digest, { stream })
          await metadata.write('putConversion', { ...call, layer })
        })
      } finally {
        await uploads.cancel(upload).catch(() => {})
      }
    },

    signingKey() {
      key ??= readKey().catch((error) => {
        key = undefined
        throw error
      })
      return key
    },
  }
}
