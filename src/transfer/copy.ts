import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import PQueue from 'p-queue'
import { readParts } from '../oci/manifest.ts'
import {
  algorithmOf,
  type Digest,
  digestOf,
  formatReference,
  parseReference,
  parseRepositoryName,
  tryParseDigest,
} from '../oci/reference.ts'

/** How many images are copied at the same time, and how many blobs of each. */
const IMAGES_AT_ONCE = 3
const BLOBS_AT_ONCE = 3

/** An index that contains indexes is followed this deep. */
const DEPTH_MAX = 8

/** Where images are copied to. */
export interface TransferTarget {
  /** Returns the digest that a tag or a digest has, or undefined if there is none. */
  digestOf(repository: string, reference: string): Promise<string | undefined>
  hasBlob(repository: string, digest: Digest): Promise<boolean>
  /** Links to a blob that another repository of the target has. Returns false if none has it. */
  mountBlob?(repository: string, digest: Digest): Promise<boolean>
  /** Stores a file as a link if its bytes have the digest. Returns false if it has to be pushed. */
  linkBlob?(repository: string, digest: Digest, file: string): Promise<boolean>
  /** Stores a blob if its bytes have the digest. */
  pushBlob(repository: string, digest: Digest, body: ReadableStream<Uint8Array>): Promise<void>
  putManifest(repository: string, reference: string, document: Document): Promise<void>
}

/** What was copied. */
export interface Transferred {
  /** How many tags and untagged manifests were copied, and how many the target already had. */
  copied: number
  unchanged: number
  blobs: number
  /** How many of these are hard links to the source's files. */
  linked: number
  failedCount: number
  /** What differs at the target, at most DIFFERENCES_MAX; failures are among them. */
  differences: Difference[]
  differenceCount: number
}

/** How an image differs at the target, and why. */
export interface Difference extends Listed {
  /** `not copied`, for example. */
  what: string
  reason: string
}

/** How many differences are listed; the others are counted. */
const DIFFERENCES_MAX = 1000

export interface TransferOptions {
  source: ImageSource
  target: TransferTarget
  /** Returns the repository of the target. */
  rename: (repository: string) => string
  signal?: AbortSignal | undefined
  /** Called after each tag or manifest. */
  progress?: ((done: number, current: Listed) => void) | undefined
}

/**
 * Copies everything that the source lists, with the referrers of each manifest. Skips what the target has, so
 * repeating an interrupted transfer continues it. The target verifies every digest. A failure of one image does not
 * stop the others.
 */
export async function transfer(options: TransferOptions): Promise<Transferred> {
  const { source, signal, progress } = options
  const done: Transferred = {
    copied: 0,
    unchanged: 0,
    blobs: 0,
    linked: 0,
    failedCount: 0,
    differences: [],
    differenceCount: 0,
  }
  const copying: BlobCopies = new Map()
  const queue = new PQueue({ concurrency: IMAGES_AT_ONCE })
  const copy = async (listed: Listed) => {
    try {
      const isNew = await new ImageCopy(options, listed, done, copying).run()
      if (isNew) done.copied++
      else done.unchanged++
    } catch (error) {
      signal?.throwIfAborted()
      done.failedCount++
      note(done, { ...listed, what: 'not copied', reason: (error as Error).message })
    }
    progress?.(done.copied + done.unchanged + done.failedCount, listed)
  }
  for await (const listed of source.list()) {
    signal?.throwIfAborted()
    await queue.onSizeLessThan(IMAGES_AT_ONCE)
    void queue.add(() => copy(listed))
  }
  await queue.onIdle()
  signal?.throwIfAborted()
  return done
}

/** The blobs that are being copied, by repository and digest. */
type BlobCopies = Map<string, Promise<void>>

function note(done: Transferred, difference: Difference): void {
  done.differenceCount++
  if (done.differences.length < DIFFERENCES_MAX) done.differences.push(difference)
}

/** The copy of one tag or manifest, with what it refers to and what refers to it. */
class ImageCopy {
  private readonly options: TransferOptions
  private readonly listed: Listed
  private readonly name: string
  private readonly done: Transferred
  private readonly copying: BlobCopies
  /** The digests that were visited, so that a circle of references ends. */
  private readonly seen = new Set<string>()

  constructor(options: TransferOptions, listed: Listed, done: Transferred, copying: BlobCopies) {
    this.options = options
    const { repository, reference } = listed
    // Names from the source become parts of paths, so they are validated.
    this.listed = {
      repository: parseRepositoryName(repository),
      reference: formatReference(parseReference(reference)),
    }
    this.name = parseRepositoryName(options.rename(repository))
    this.done = done
    this.copying = copying
  }

  /** Returns false if the target had it already. */
  async run(): Promise<boolean> {
    const { repository, reference } = this.listed
    const document = await this.options.source.manifest(repository, reference)
    if (document === undefined) throw new TransferError('the source has no such manifest')
    const digest = tryParseDigest(reference) ?? digestOf(document.bytes)
    const before = await this.options.target.digestOf(this.name, reference)
    const isNew = before !== digest
    await this.visit({ digest, reference: isNew ? reference : undefined, document }, 0)
    if (isNew && before !== undefined)
      this.note('tag moved', `it pointed at ${before}, which can be restored; now at ${digest}`)
    return isNew
  }

  private note(what: string, reason: string): void {
    note(this.done, { ...this.listed, what, reason })
  }

  /** Copies what a manifest refers to, the manifest if the target lacks it, and then what refers to it. */
  private async visit({ digest, reference, document }: Visit, depth: number): Promise<void> {
    if (depth > DEPTH_MAX)
      throw new TransferError(`manifests refer to each other more than ${DEPTH_MAX} deep`)
    this.seen.add(digest)
    const { children, config, layers } = readParts(document.bytes)
    for (const child of children) await this.visitOther(child.digest, depth + 1)
    if (reference !== undefined) {
      const blobs = [...new Set([...(config ? [config] : []), ...layers].map((part) => part.digest))]
      const queue = new PQueue({ concurrency: BLOBS_AT_ONCE })
      await queue.addAll(blobs.map((blob) => () => this.copyBlob(blob)))
      await this.options.target.putManifest(this.name, reference, document)
    }
    for (const named of await this.options.source.referrers(this.listed.repository, digest)) {
      const referrer = tryParseDigest(named)
      if (referrer !== undefined) await this.visitOther(referrer, depth + 1)
    }
  }

  /** Visits an entry of an index, or a referrer. An index can list manifests that its registry does not have. */
  private async visitOther(digest: Digest, depth: number): Promise<void> {
    if (this.seen.has(digest)) return
    const { source, target } = this.options
    const document = await source.manifest(this.listed.repository, digest)
    if (document === undefined) {
      this.seen.add(digest)
      this.note('incomplete', `the source does not have the manifest ${digest}, which it lists`)
      return
    }
    const isKnown = (await target.digestOf(this.name, digest)) !== undefined
    await this.visit({ digest, reference: isKnown ? undefined : digest, document }, depth)
  }

  /** Images that are copied at the same time can share a blob. */
  private async copyBlob(digest: Digest): Promise<void> {
    const key = `${this.name} ${digest}`
    const copy = this.copying.get(key) ?? this.copyBlobOnce(digest)
    this.copying.set(key, copy)
    await copy.finally(() => this.copying.delete(key))
  }

  private async copyBlobOnce(digest: Digest): Promise<void> {
    const { source, target } = this.options
    if (await target.hasBlob(this.name, digest)) return
    const file = source.fileOf?.(digest)
    if (file !== undefined && (await target.linkBlob?.(this.name, digest, file))) {
      this.done.linked++
    } else {
      const body = await source.blob(this.listed.repository, digest)
      if (body === undefined) return await this.doWithout(digest)
      await target.pushBlob(this.name, digest, body)
    }
    this.done.blobs++
  }

  /** Foreign layers are elsewhere. If any other blob is missing, the target refuses the manifest. */
  private async doWithout(digest: Digest): Promise<void> {
    if (await this.options.target.mountBlob?.(this.name, digest)) return
    this.note('incomplete', `the source does not have the blob ${digest}`)
  }
}

interface Visit {
  digest: Digest
  /** Returns the digest to store it under; undefined if the target has it. */
  reference: string | undefined
  document: Document
}

/** A manifest as it is stored. */
export interface Document {
  bytes: Uint8Array<ArrayBuffer>
  mediaType: string
}

/** Sends a request to a path of a registry. */
export type Send = (path: string, init?: RequestInit) => Promise<Response>

/** Something to copy: a tag, or a manifest by its digest. */
export interface Listed {
  repository: string
  reference: string
}

/** Where images are copied from. Repositories and references are not validated: the target does that. */
export interface ImageSource {
  /** Lists tags, and after those of a repository its manifests without one, as far as the source can list them. */
  list(): AsyncIterable<Listed>
  /** Returns undefined if the source does not have the manifest. */
  manifest(repository: string, reference: string): Promise<Document | undefined>
  /** Returns undefined if the source does not have the blob. */
  blob(repository: string, digest: Digest): Promise<ReadableStream<Uint8Array> | undefined>
  /** Returns the file of a blob that a target can link to, if the source keeps its files as they are. */
  fileOf?(digest: Digest): string
  /** Returns the digests of the manifests that refer to this one. */
  referrers(repository: string, digest: string): Promise<string[]>
}

/** Returns the reason of a failure, in words for people. */
export class TransferError extends Error {
  override name = 'TransferError'
}

/** The largest manifest, in bytes. A larger one is refused before it is read. */
export const MANIFEST_BYTES_MAX = 64 * 1024 * 1024

/**
 * Reads a manifest from a file, or returns undefined if there is none. Its digest is checked here, because a manifest that is
 * pushed by its tag has whatever digest its bytes have.
 *
 * @throws TransferError when the bytes have another digest
 */
export async function readManifest(path: string, digest: Digest): Promise<Document | undefined> {
  if (!existsSync(path)) return undefined
  const bytes = await readBounded(path)
  const mediaType = mediaTypeOf(bytes)
  // The digest of a signed manifest of Docker schema 1 is that of its content without the signatures.
  const isSigned = mediaType.endsWith('+prettyjws')
  if (isSigned || digestOf(bytes, algorithmOf(digest)) === digest) return { bytes, mediaType }
  throw new TransferError(`the bytes of ${digest} are damaged`)
}

/**
 * Reads an ordinary file that is no larger than a manifest can be.
 * @throws TransferError when it is larger, or a device, for example
 */
export async function readBounded(
  path: string,
  bytesMax = MANIFEST_BYTES_MAX,
): Promise<Uint8Array<ArrayBuffer>> {
  const found = await stat(path)
  if (!found.isFile()) throw new TransferError(`${path} is not a file`)
  if (found.size > bytesMax) throw new TransferError(`${path} has ${found.size} bytes, too many`)
  return new Uint8Array(await Bun.file(path).slice(0, bytesMax).bytes())
}

/** Reads a text as `readBounded` does. */
export async function readText(path: string, bytesMax?: number): Promise<string> {
  return new TextDecoder().decode(await readBounded(path, bytesMax))
}

/** Parses the JSON of a file. Throws a TransferError when it is something else. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(path))
  } catch (cause) {
    if (cause instanceof TransferError) throw cause
    throw new TransferError(`${path} is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Opens the file of a blob. Returns undefined if there is none, or something else than a file. */
export async function openBlob(path: string): Promise<ReadableStream<Uint8Array> | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? Bun.file(path).stream() : undefined
}

/** Returns the media type of a manifest whose storage does not record it, from its content. */
function mediaTypeOf(bytes: Uint8Array): string {
  const { document, children } = readParts(bytes)
  if (typeof document.mediaType === 'string') return document.mediaType
  if (document.schemaVersion === 1) {
    return `application/vnd.docker.distribution.manifest.v1+${'signatures' in document ? 'prettyjws' : 'json'}`
  }
  const kind = children.length > 0 || 'manifests' in document ? 'index' : 'manifest'
  return `application/vnd.oci.image.${kind}.v1+json`
}
