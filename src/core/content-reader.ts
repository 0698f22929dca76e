import { LRUCache } from 'lru-cache'
import { type ConversionName, convertImage, type Refusal } from '../docker/conversion.ts'
import type { ManifestPush } from '../domain/registry.ts'
import type { Digest } from '../oci/digest.ts'
import { type ErrorEntry, RegistryError, registryError } from '../oci/error.ts'
import { EXPIRES_AFTER } from '../oci/labels.ts'
import { type ImageBrief, imageBrief, type ManifestBrief, manifestBrief } from '../oci/manifest-brief.ts'
import { WorkerClient } from '../worker-client.ts'
import { type PushedDocument, readPushed, type Schema1Pushes } from './registry/pushed-manifest.ts'

/** Anything smaller is read inline, because a round trip to the thread would take as long. */
const INLINE_BYTES_MAX = 64 * 1024

/** How long an answer may take. After that the thread is terminated and a new one takes over. */
const ANSWER_SECONDS_MAX = 10

/** How many questions may wait for the thread. Further ones are refused. */
const WAITING_MAX = 64

/** How many briefs are cached. They are keyed by digest, so they never become stale. */
const REMEMBERED_MAX = 64

/** An image converted to Docker schema 1. */
export interface ConvertedPayload {
  payload: Uint8Array<ArrayBuffer>
  hasEmptyLayer: boolean
}

export type ReadingQuestion =
  | { do: 'manifestBrief'; bytes: Uint8Array; mediaType: string }
  | { do: 'imageBrief'; bytes: Uint8Array }
  | { do: 'convert'; name: ConversionName; layers: readonly Digest[]; config: Uint8Array }
  | { do: 'readPushed'; push: ManifestPush; taken: Schema1Pushes }

/** An error as the thread reports it. A client's mistake carries the answer to send. */
export interface ReadingFailure {
  message: string
  entries: readonly ErrorEntry[] | undefined
  status: number
}

/** Reads content that clients wrote. Anything that could block the serving thread for too long is read in another. */
export class ContentReader {
  private client: WorkerClient<ReadingQuestion, ReadingFailure> | undefined
  private readonly briefs = new LRUCache<string, Promise<unknown>>({ max: REMEMBERED_MAX })

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

  async stop(): Promise<void> {
    await this.client?.stop()
  }

  private remember<T>(key: string, size: number, read: () => Promise<T>): Promise<T> {
    if (size <= INLINE_BYTES_MAX) return read()
    const known = this.briefs.get(key)
    if (known !== undefined) return known as Promise<T>
    const reading = read()
    this.briefs.set(key, reading)
    const forget = () => void this.briefs.delete(key)
    reading.then((found) => found === undefined && forget(), forget)
    return reading
  }

  private async read<T>(bytes: Uint8Array, question: ReadingQuestion): Promise<T> {
    if (bytes.length <= INLINE_BYTES_MAX) return answerTo(question) as T
    this.client ??= this.start()
    const { client } = this
    if (client.waiting >= WAITING_MAX) throw busy()
    const late = setTimeout(() => {
      if (this.client === client) this.client = undefined
      void client.stop()
    }, ANSWER_SECONDS_MAX * 1000)
    try {
      return await client.ask<T>(question)
    } finally {
      clearTimeout(late)
    }
  }

  private start(): WorkerClient<ReadingQuestion, ReadingFailure> {
    const worker = new Worker(new URL('./content-reader-thread.ts', import.meta.url))
    worker.unref()
    const client = new WorkerClient<ReadingQuestion, ReadingFailure>(worker, {
      name: 'the reader of contents',
      toError: ({ message, entries, status }) =>
        entries === undefined ? new Error(message) : new RegistryError(entries, { status }),
      onFailure: () => {
        if (this.client === client) this.client = undefined
      },
    })
    return client
  }
}

/** Returns the answer to a question. Runs on either thread. */
export function answerTo(question: ReadingQuestion): unknown {
  switch (question.do) {
    case 'manifestBrief':
      return manifestBrief(question.bytes, question.mediaType)
    case 'imageBrief':
      return imageBrief(question.bytes)
    case 'convert': {
      const made = convertImage(question.name, question.layers, question.config)
      return 'refusal' in made ? made : { payload: made.payload, hasEmptyLayer: made.hasEmptyLayer }
    }
    case 'readPushed': {
      const { manifest, payload } = readPushed(question.push, question.taken)
      const { annotations = {}, ...rest } = manifest
      // A push uses only this annotation, and there may be many.
      const expiry = annotations[EXPIRES_AFTER]
      return {
        payload,
        manifest: expiry === undefined ? rest : { ...rest, annotations: { [EXPIRES_AFTER]: expiry } },
      }
    }
  }
}

function busy() {
  return registryError('TOOMANYREQUESTS', 'too many large manifests are being read: try again in a second', {
    status: 503,
    headers: { 'retry-after': '1' },
  })
}
