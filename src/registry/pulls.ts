import { LRUCache } from 'lru-cache'
import type { Identity } from '../access/access.ts'
import type { Refusal } from '../docker/conversion.ts'
import { isSchema1Type } from '../docker/schema1.ts'
import {
  type ManifestClient,
  readsOnlySigned,
  type Schema1Need,
  type Schema1Pulls,
  schema1Need,
  wantsUnsigned,
} from '../docker/schema1-need.ts'
import { parseSignedDocument } from '../docker/signed-document.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import { findPlatform, readParts } from '../oci/manifest.ts'
import { type Accept, accepts, isIndex, MEDIA_TYPE, parseAccept } from '../oci/media-type.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Conversions, ConvertedImage } from './conversions.ts'
import type { BeforeLarge, Manifests, StoredManifest } from './registry.ts'

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
    const converted = await this.convert(repository, tag, image)
    if (!('refusal' in converted)) return asSent(converted, accept)
    if (need === 'must') throw unreadable(repository, tag, converted.refusal)
    return undefined
  }

  private async convert(
    repository: RepositoryName,
    tag: Tag,
    image: StoredManifest | undefined,
  ): Promise<ConvertedImage | Refusal> {
    if (image !== undefined) return await this.conversions.convert(repository, tag, image)
    return {
      refusal: `it is an index, and no image for ${PLATFORM.os}/${PLATFORM.architecture} of it is stored here`,
    }
  }

  private async byDigest(
    repository: RepositoryName,
    digest: Digest,
    client: PullingClient,
    principal: Identity | undefined,
  ): Promise<SentManifest> {
    const stored = await found(this.manifests.get(repository, { digest }, principal, client.beforeLarge))
    if (!(stored instanceof RegistryError)) {
      return isSchema1Type(stored.mediaType) ? await this.present(stored, client, false) : fixed(stored)
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

/** Returns a manifest that is the same for every client. */
function fixed({ digest, mediaType, bytes }: StoredManifest): SentManifest {
  return { digest, mediaType, bytes, varies: false }
}

function asSent({ digest, payload, signed }: ConvertedImage, accept: Accept): SentManifest {
  const warning = 'this manifest was converted to Docker schema 1 because the client accepts nothing newer'
  return wantsUnsigned(accept)
    ? { digest, mediaType: UNSIGNED, bytes: payload, varies: true, warning }
    : { digest, mediaType: SIGNED, bytes: signed, varies: true, warning }
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
