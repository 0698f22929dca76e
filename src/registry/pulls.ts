import { LRUCache } from 'lru-cache'
import PQueue from 'p-queue'
import type { Identity } from '../access/access.ts'
import { convertible, EMPTY_LAYER, type Refusal } from '../docker/conversion.ts'
import {
  isSchema1Type,
  type ManifestClient,
  readsOnlySigned,
  type Schema1Need,
  type Schema1Pulls,
  schema1Need,
  wantsUnsigned,
} from '../docker/schema1.ts'
import {
  newSigningKey,
  parseSignedDocument,
  readSigningKey,
  type SigningKey,
  signDocument,
} from '../docker/signed-document.ts'
import { RegistryError, registryError, tooManyRequests } from '../oci/error.ts'
import {
  type Accept,
  accepts,
  findPlatform,
  isIndex,
  MEDIA_TYPE,
  parseAccept,
  readParts,
} from '../oci/manifest.ts'
import { type Digest, digestOf, type Reference, type RepositoryName, type Tag } from '../oci/reference.ts'
import type { ContentReader, ConvertedPayload } from './content-reader.ts'
import type { ConversionSource } from './content-reads.ts'
import type { BlobOptions } from './local-blobs.ts'
import { type BeforeLarge, type Manifests, type Registry, readBlob, type StoredManifest } from './registry.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    /** Manifests in a format that the client can read. */
    pulls: ManifestPulls
  }
}

/** A manifest as it is sent to one client. */
export interface SentManifest extends StoredManifest {
  /** Whether another client may get a different manifest under this name. */
  varies: boolean
}

/** A client, and what it waits for before a large manifest is read. */
export interface PullingClient extends ManifestClient {
  beforeLarge?: BeforeLarge
}

/** Serves manifests in a format that the client can read. */
export interface ManifestPulls {
  /**
   * Returns the manifest to send. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN; the latter also, with the reason, when the
   * client cannot read the manifest in any format.
   */
  get(
    repository: RepositoryName,
    reference: Reference,
    client: PullingClient,
    principal?: Identity,
  ): Promise<SentManifest>
}

const { dockerSchema1: UNSIGNED, dockerSchema1Signed: SIGNED } = MEDIA_TYPE

/** How many parsed Accept headers are cached, and the longest of them. */
const ACCEPTS_MAX = 256
const ACCEPT_CHARACTERS_MAX = 2048

/** How many indexes have their image for old clients cached. */
const CHILDREN_MAX = 1000

/** The platform for clients that cannot choose one. */
const PLATFORM = { os: 'linux', architecture: 'amd64' }

/**
 * Chooses what to send. A pull by digest gets the manifest as stored. A pull by tag gets the first of these that
 * applies: the manifest as stored, if the client accepts it; the linux/amd64 image of an index, if it accepts that; a
 * conversion to Docker schema 1, if it needs one; and otherwise the manifest as stored, since clients often read more
 * than they say.
 */
export class NegotiatedManifests implements ManifestPulls {
  private readonly manifests: Pick<Manifests, 'get'>
  private readonly conversions: Conversions
  private readonly setting: Schema1Pulls
  private readonly headers = new LRUCache<string, Accept>({ max: ACCEPTS_MAX })
  private readonly children = new LRUCache<Digest, { digest: Digest | undefined }>({ max: CHILDREN_MAX })

  constructor(manifests: Pick<Manifests, 'get'>, conversions: Conversions, setting: Schema1Pulls) {
    this.manifests = manifests
    this.conversions = conversions
    this.setting = setting
  }

  /** Drops what is cached. */
  releaseMemory(): void {
    this.headers.clear()
    this.children.clear()
  }

  async get(
    repository: RepositoryName,
    reference: Reference,
    client: PullingClient,
    principal?: Identity,
  ): Promise<SentManifest> {
    if (reference.tag === undefined)
      return await this.byDigest(repository, reference.digest, client, principal)
    const { digest, mediaType, bytes, warning } = await this.manifests.get(
      repository,
      reference,
      principal,
      client.beforeLarge,
    )
    const stored = { digest, mediaType, bytes, warning, varies: true }
    const accept = this.read(client.accept)
    if (isSchema1Type(mediaType)) return await this.present(stored, client)
    if (accepts(accept, mediaType)) return stored
    const need = schema1Need(this.setting, accept, client)
    if (need === 'none' && accept.types.size + accept.ranges.size === 0) return stored
    return (await this.substitute(repository, reference.tag, stored, client, need)) ?? stored
  }

  /** Returns what to send instead of a manifest that the client does not accept, if anything. */
  private async substitute(
    repository: RepositoryName,
    tag: Tag,
    stored: StoredManifest,
    client: ManifestClient,
    need: Schema1Need,
  ): Promise<SentManifest | undefined> {
    const accept = this.read(client.accept)
    const image = isIndex(stored.mediaType) ? await this.childOf(repository, stored) : stored
    if (image !== undefined && accepts(accept, image.mediaType))
      return { ...image, warning: stored.warning, varies: true }
    if (need === 'none') return undefined
    if (image !== undefined && isSchema1Type(image.mediaType)) return await this.present(image, client)
    const { os, architecture } = PLATFORM
    const converted = image
      ? await this.conversions.convert(repository, tag, image)
      : { refusal: `it is an index, and no image for ${os}/${architecture} of it is stored here` }
    if (!('refusal' in converted)) return asSent(converted, accept)
    if (need === 'must') throw unreadable(repository, tag, converted.refusal)
    return undefined
  }

  private async byDigest(
    repository: RepositoryName,
    digest: Digest,
    client: PullingClient,
    principal: Identity | undefined,
  ): Promise<SentManifest> {
    const stored = await found(this.manifests.get(repository, { digest }, principal, client.beforeLarge))
    if (!(stored instanceof RegistryError)) {
      const { mediaType, bytes } = stored
      if (isSchema1Type(mediaType)) return await this.present(stored, client, false)
      return { digest: stored.digest, mediaType, bytes, varies: false }
    }
    const converted = this.setting === 'never' ? undefined : await this.conversions.find(repository, digest)
    if (converted === undefined) throw stored
    return asSent(converted, this.read(client.accept))
  }

  /** Returns the image of an index for clients that read no indexes, if it is stored. */
  private async childOf(
    repository: RepositoryName,
    index: StoredManifest,
  ): Promise<StoredManifest | undefined> {
    const known = this.children.get(index.digest) ?? {
      digest: findPlatform(readParts(index.bytes), PLATFORM)?.digest,
    }
    this.children.set(index.digest, known)
    if (known.digest === undefined) return undefined
    const child = await found(this.manifests.get(repository, { digest: known.digest }))
    return child instanceof RegistryError ? undefined : child
  }

  /**
   * Returns a manifest that was pushed as schema 1. The stored bytes may come from another push with the same digest,
   * with or without a signature, so a signature is added if the media type requires one.
   *
   * @param mayStrip whether to remove the signature for a client that does not accept one
   */
  private async present(
    { digest, mediaType, bytes }: StoredManifest,
    client: ManifestClient,
    mayStrip = true,
  ): Promise<SentManifest> {
    const { payload, signatures } = parseSignedDocument(bytes)
    const accept = this.read(client.accept)
    const isSigned = wantsUnsigned(accept)
      ? mediaType === SIGNED && !mayStrip
      : mediaType === SIGNED || readsOnlySigned(accept, client)
    if (!isSigned) return { digest, mediaType: UNSIGNED, bytes: payload, varies: true }
    const signed = signatures.length > 0 ? bytes : await this.conversions.sign(payload)
    return { digest, mediaType: SIGNED, bytes: signed, varies: true }
  }

  private read(header: string | null): Accept {
    const key = header ?? ''
    const known = this.headers.get(key)
    if (known !== undefined) return known
    const accept = parseAccept(header)
    if (key.length <= ACCEPT_CHARACTERS_MAX) this.headers.set(key, accept)
    return accept
  }
}

function asSent({ digest, payload, signed }: ConvertedImage, accept: Accept): SentManifest {
  const warning = 'this manifest was converted to Docker schema 1 because the client accepts nothing newer'
  const sent = wantsUnsigned(accept)
    ? { mediaType: UNSIGNED, bytes: payload }
    : { mediaType: SIGNED, bytes: signed }
  return { digest, ...sent, varies: true, warning }
}

/** Returns the manifest, or the error if there is none. */
async function found(manifest: Promise<StoredManifest>): Promise<StoredManifest | RegistryError> {
  try {
    return await manifest
  } catch (error) {
    if (error instanceof RegistryError && error.status === 404) return error
    throw error
  }
}

function unreadable(repository: RepositoryName, tag: Tag, reason: string): RegistryError {
  const message =
    `the client reads Docker schema 1 only, and "${tag}" of ${repository} cannot be converted to it: ${reason}; ` +
    'pull it with a newer client'
  const detail = { name: repository, tag, reason }
  return registryError('MANIFEST_UNKNOWN', message, { detail, headers: { vary: 'Accept' } })
}

/**
 * The largest config that is read for a conversion, in bytes. It is small enough that the result fits the cache, so
 * each is read once. Real configs are a hundredth of this.
 */
const CONFIG_BYTES_MAX = 1024 * 1024

/** How many conversions run at once, and how many may wait. Further ones are refused. */
const CONVERSIONS_AT_ONCE = 2
const CONVERSIONS_WAITING_MAX = 64

/** Memory for cached conversions. */
const CONVERTED_BYTES_MAX = 16 * 1024 * 1024

/** The approximate overhead of a cache entry, in bytes. */
const CONVERSION_BYTES = 512

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
    maxSize: CONVERTED_BYTES_MAX,
    maxEntrySize: CONVERTED_BYTES_MAX / 2,
    sizeCalculation: (entry) =>
      CONVERSION_BYTES +
      ('refusal' in entry ? entry.refusal.length : entry.payload.length + entry.signed.length),
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
    if (this.queue.size >= CONVERSIONS_WAITING_MAX) throw tooManyRequests(TOO_MANY, 1)
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
    try {
      const blob = await this.registry.blobs.open(repository, digest)
      const bytes = await readBlob(blob, CONFIG_BYTES_MAX)
      if (bytes) return { bytes }
      return { refusal: `its config has ${blob.size} bytes, more than ${CONFIG_BYTES_MAX}` }
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return NOT_HERE
      throw error
    }
  }
}

const TOO_MANY = 'too many images are being converted to Docker schema 1: try again in a second'

/** The fact of the installation that holds the key of conversions. */
const KEY_FACT = 'schema1-signing-key'

export type ConversionOptions = Pick<BlobOptions, 'metadata' | 'uploads' | 'locks' | 'now'>

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
      if (!hasEmptyLayer) return await metadata.write('putConversion', { ...call, layer: undefined })
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
