import { LRUCache } from 'lru-cache'
import PQueue from 'p-queue'
import { type ConversionName, convertImage, type Refusal } from '../docker/conversion.ts'
import { isSchema1, manifestOf, parseSchema1, type Schema1 } from '../docker/schema1.ts'
import { parseSignedDocument, verifySignatures } from '../docker/signed-document.ts'
import { type ErrorEntry, RegistryError, registryError, tooManyRequests } from '../oci/error.ts'
import { usedAnnotations } from '../oci/image-config.ts'
import { checkItems, type Manifest, parseManifest, readParts } from '../oci/manifest.ts'
import { type ImageBrief, imageBrief, type ManifestBrief, manifestBrief } from '../oci/manifest-brief.ts'
import { type Digest, hexOf } from '../oci/reference.ts'
import { WorkerClient } from '../runtime/threads.ts'
import type { ManifestPush } from './registry.ts'

/** Anything smaller is read inline, because a round trip to the thread would take as long. */
const INLINE_BYTES_MAX = 64 * 1024

/** How long an answer may take once the thread has begun. After that a new thread takes over. */
const ANSWER_SECONDS_MAX = 10

/** How long the thread is kept without a question. It takes some 15 MB. */
const IDLE_SECONDS_MAX = 30

/** How many questions of each priority may wait for the thread. Further ones are refused. */
const WAITING_MAX = 64

/**
 * How many briefs are cached, and the total size of what they describe, which a brief seldom exceeds. They are keyed by
 * digest, so they never become stale.
 */
const REMEMBERED_MAX = 64
const REMEMBERED_BYTES_MAX = 16 * 1024 * 1024

/** An image converted to Docker schema 1. */
export interface ConvertedPayload {
  payload: Uint8Array<ArrayBuffer>
  hasEmptyLayer: boolean
}

export type ReadingQuestion =
  | { do: 'manifestBrief'; bytes: Uint8Array; mediaType: string }
  | { do: 'imageBrief'; bytes: Uint8Array }
  | { do: 'convert'; name: ConversionName; layers: readonly Digest[]; config: Uint8Array }
  | { do: 'digestsAfter'; bytes: Uint8Array; after: Digest | undefined; max: number }
  | { do: 'readPushed'; push: ManifestPush; taken: Schema1Pushes }

/** An error as the thread reports it. A client's mistake carries the answer to send. */
export interface ReadingFailure {
  message: string
  entries: readonly ErrorEntry[] | undefined
  status: number
}

/** A thread that processes one question at a time. */
export interface ReadingThread {
  ask<T>(question: ReadingQuestion): Promise<T>
  /** Rejects the question that has no answer yet. */
  stop(): Promise<void>
}

export interface ContentReaderOptions {
  answerSecondsMax?: number
  idleSecondsMax?: number
  /** Starts a thread. `onFailure` is called when it has crashed. */
  startThread?: (onFailure: () => void) => ReadingThread
}

/**
 * Reads content that clients wrote. Content that could block the serving thread for too long is read in another thread,
 * one question at a time, so that a question that times out ends no other.
 */
export class ContentReader {
  private readonly answerMilliseconds: number
  private readonly idleMilliseconds: number
  private readonly startThread: (onFailure: () => void) => ReadingThread
  private readonly queue = new PQueue({ concurrency: 1 })
  private readonly briefs = new LRUCache<string, Promise<unknown>>({
    max: REMEMBERED_MAX,
    maxSize: REMEMBERED_BYTES_MAX,
  })
  private thread: ReadingThread | undefined
  /** Ends the thread when it fires. */
  private idle: Timer | undefined
  private isStopped = false

  constructor(options: ContentReaderOptions = {}) {
    this.answerMilliseconds = (options.answerSecondsMax ?? ANSWER_SECONDS_MAX) * 1000
    this.idleMilliseconds = (options.idleSecondsMax ?? IDLE_SECONDS_MAX) * 1000
    this.startThread = options.startThread ?? start
  }

  /** Returns the brief of a manifest. Its bytes are fetched only when the brief is not cached. */
  manifestBrief(
    { digest, mediaType, size }: { digest: Digest; mediaType: string; size: number },
    findBytes: () => Uint8Array | undefined,
  ): Promise<ManifestBrief | undefined> {
    return this.remember(`${digest} ${mediaType}`, size, async () => {
      const bytes = findBytes()
      return bytes && (await this.read(bytes, { do: 'manifestBrief', bytes, mediaType }))
    })
  }

  /** Returns the brief of an image's config. */
  imageBrief(digest: Digest, bytes: Uint8Array): Promise<ImageBrief> {
    return this.remember(`config ${digest}`, bytes.length, () =>
      this.read(bytes, { do: 'imageBrief', bytes }),
    )
  }

  /** Returns digests of an index's entries: see `digestsAfter`. */
  digestsAfter(bytes: Uint8Array, after: Digest | undefined, max: number): Promise<Digest[]> {
    return this.read(bytes, { do: 'digestsAfter', bytes, after, max })
  }

  /** Converts an image to Docker schema 1. */
  convert(
    name: ConversionName,
    layers: readonly Digest[],
    config: Uint8Array,
  ): Promise<ConvertedPayload | Refusal> {
    return this.read(config, { do: 'convert', name, layers, config })
  }

  /** Reads a pushed manifest. Throws what `readPushed` throws. */
  readPushed(push: ManifestPush, taken: Schema1Pushes): Promise<PushedDocument> {
    return this.read(push.bytes, { do: 'readPushed', push, taken })
  }

  /** Drops the cached briefs. */
  releaseMemory(): void {
    this.briefs.clear()
  }

  async stop(): Promise<void> {
    this.isStopped = true
    clearTimeout(this.idle)
    await this.thread?.stop()
  }

  private remember<T>(key: string, size: number, read: () => Promise<T>): Promise<T> {
    if (size <= INLINE_BYTES_MAX) return read()
    const known = this.briefs.get(key)
    if (known !== undefined) return known as Promise<T>
    const reading = read()
    this.briefs.set(key, reading, { size })
    const forget = () => void this.briefs.delete(key)
    reading.then((found) => found === undefined && forget(), forget)
    return reading
  }

  private async read<T>(bytes: Uint8Array, question: ReadingQuestion): Promise<T> {
    if (bytes.length <= INLINE_BYTES_MAX) return answerTo(question) as T
    // Pushes come first, because anyone who may pull can ask for many descriptions.
    const priority = question.do === 'readPushed' ? 1 : 0
    if (this.queue.sizeBy({ priority }) >= WAITING_MAX)
      throw tooManyRequests('too many large manifests are being read: try again in a second', 1, 503)
    return await this.queue.add(() => this.ask<T>(question), { priority })
  }

  private async ask<T>(question: ReadingQuestion): Promise<T> {
    if (this.isStopped) throw new Error('the reader of contents was stopped')
    const thread = this.thread ?? this.startThread(() => this.drop(thread))
    this.thread = thread
    clearTimeout(this.idle)
    const late = setTimeout(() => this.end(thread), this.answerMilliseconds)
    try {
      return await thread.ask<T>(question)
    } finally {
      clearTimeout(late)
      this.endWhenIdle(thread)
    }
  }

  /** Ends the thread unless it gets another question in time. */
  private endWhenIdle(thread: ReadingThread): void {
    if (this.isStopped || this.thread !== thread) return
    this.idle = setTimeout(() => this.end(thread), this.idleMilliseconds)
    this.idle.unref()
  }

  private end(thread: ReadingThread): void {
    this.drop(thread)
    void thread.stop()
  }

  /** Lets the next question start a new thread. */
  private drop(thread: ReadingThread): void {
    if (this.thread === thread) this.thread = undefined
  }
}

function start(onFailure: () => void): ReadingThread {
  const worker = new Worker(new URL('./content-reader-thread.ts', import.meta.url))
  worker.unref()
  return new WorkerClient<ReadingQuestion, ReadingFailure>(worker, {
    name: 'the reader of contents',
    toError: ({ message, entries, status }) =>
      entries === undefined ? new Error(message) : new RegistryError(entries, { status }),
    onFailure,
  })
}

/** Returns the answer to a question. Runs on either thread. */
export function answerTo(question: ReadingQuestion): unknown {
  switch (question.do) {
    case 'manifestBrief':
      return manifestBrief(question.bytes, question.mediaType)
    case 'imageBrief':
      return imageBrief(question.bytes)
    case 'digestsAfter':
      return digestsAfter(question.bytes, question.after, question.max)
    case 'convert': {
      const made = convertImage(question.name, question.layers, question.config)
      return 'refusal' in made ? made : { payload: made.payload, hasEmptyLayer: made.hasEmptyLayer }
    }
    case 'readPushed': {
      const { manifest, payload } = readPushed(question.push, question.taken)
      const { annotations } = manifest
      // There may be many more.
      return {
        payload,
        manifest: annotations ? { ...manifest, annotations: usedAnnotations(annotations) } : manifest,
      }
    }
  }
}

/** Which Docker schema 1 manifests are accepted. */
export interface Schema1Pushes {
  /** Whether any are accepted. */
  push: boolean
  /** Whether unsigned ones are accepted, too. */
  unsigned: boolean
}

/** A valid manifest, which can be stored if its blobs are. */
interface PushedDocument {
  manifest: Manifest
  /** The bytes that its digest covers: all, or those of schema 1 without the signatures. */
  payload: Uint8Array
}

/**
 * Parses a pushed manifest of any media type. For Docker schema 1, it checks the signatures, the name and the tag.
 *
 * @throws RegistryError MANIFEST_INVALID; for schema 1 also MANIFEST_UNVERIFIED, NAME_INVALID, TAG_INVALID
 */
function readPushed(push: ManifestPush, taken: Schema1Pushes): PushedDocument {
  const { bytes, contentType } = push
  checkItems(bytes)
  if (!isSchema1(bytes, contentType)) return { manifest: parseManifest(bytes, contentType), payload: bytes }
  if (!taken.push)
    throw invalid('this registry does not accept Docker schema 1 manifests: push schema 2 or OCI instead')
  const document = parseSignedDocument(bytes)
  const schema1 = parseSchema1(document.payload)
  checkNames(push, schema1)
  if (document.signatures.length === 0 && !taken.unsigned)
    throw invalid('the manifest has no "signatures": Docker schema 1 manifests must be signed')
  verifySignatures(document)
  return { manifest: manifestOf(document, schema1), payload: document.payload }
}

function checkNames({ repository, reference }: ManifestPush, { name, tag }: Schema1): void {
  if (name !== repository) {
    const message = `the manifest names the repository ${shown(name)}, but was pushed to ${repository}`
    throw registryError('NAME_INVALID', message)
  }
  if (reference.tag !== undefined && tag !== reference.tag) {
    throw registryError(
      'TAG_INVALID',
      `the manifest names the tag ${shown(tag)}, but was pushed as "${reference.tag}"`,
    )
  }
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 160))
}

function invalid(message: string): RegistryError {
  return registryError('MANIFEST_INVALID', message)
}

/**
 * Returns at most `max` digests of an index's entries that come after a digest, in the order of their bytes. A malformed
 * entry is left out.
 */
function digestsAfter(bytes: Uint8Array, after: Digest | undefined, max: number): Digest[] {
  const from = after === undefined ? '' : hexOf(after)
  const { children } = readParts(bytes)
  const digests = new Map(children.map(({ digest }) => [hexOf(digest), digest]))
  // Hexadecimal digits have the order of the bytes that they stand for.
  const found = [...digests].filter(([hex]) => hex > from).sort(([a], [b]) => (a < b ? -1 : 1))
  return found.slice(0, max).map(([, digest]) => digest)
}
