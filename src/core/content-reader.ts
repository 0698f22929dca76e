import { LRUCache } from 'lru-cache'
import { type ConversionName, convertImage, type Refusal } from '../docker/conversion.ts'
import type { ManifestPush } from '../domain/registry.ts'
import type { Digest } from '../oci/digest.ts'
import { type ErrorEntry, RegistryError, registryError } from '../oci/error.ts'
import { EXPIRES_AFTER } from '../oci/labels.ts'
import { type ImageBrief, imageBrief, type ManifestBrief, manifestBrief } from '../oci/manifest-brief.ts'
import { WorkerClient } from '../worker-client.ts'
import { type PushedDocument, readPushed, type Schema1Pushes } from './registry/pushed-manifest.ts'

/** What is smaller is read at once: a message to a thread and back takes as long. */
const INLINE_BYTES_MAX = 64 * 1024

/** The thread is ended when it has answered nothing for so long; further questions go to another one. */
const ANSWER_SECONDS_MAX = 10

/** Questions that may wait for the thread; further ones are refused. */
const WAITING_MAX = 64

/** Briefs that are remembered, by digest: the bytes of one are always the same. */
const REMEMBERED_MAX = 64

/** An image that was converted to Docker schema 1. */
export interface ConvertedPayload {
  payload: Uint8Array<ArrayBuffer>
  hasEmptyLayer: boolean
}

export type ReadingQuestion =
  | { do: 'manifestBrief'; bytes: Uint8Array; mediaType: string }
  | { do: 'imageBrief'; bytes: Uint8Array }
  | { do: 'convert'; name: ConversionName; layers: readonly Digest[]; config: Uint8Array }
  | { do: 'readPushed'; push: ManifestPush; taken: Schema1Pushes }

/** What a thread says of an error: of one that is the client's, what to answer. */
export interface ReadingFailure {
  message: string
  entries: readonly ErrorEntry[] | undefined
  status: number
}

/** Reads what clients wrote: in a thread of its own what could take longer than a request may hold the serving one. */
export class ContentReader {
  private client: WorkerClient<ReadingQuestion, ReadingFailure> | undefined
  private readonly briefs = new LRUCache<string, Promise<unknown>>({ max: REMEMBERED_MAX })

  /** What people are shown of a manifest. Its bytes are asked for unless what they say is remembered. */
  manifestBrief(
    { digest, mediaType, size }: { digest: Digest; mediaType: string; size: number },
    findBytes: () => Uint8Array | undefined,
  ): Promise<ManifestBrief | undefined> {
    return this.remember(`${digest} ${mediaType}`, size, async () => {
      const bytes = findBytes()
      return bytes && (await this.read(bytes, { do: 'manifestBrief', bytes, mediaType }))
    })
  }

  /** What people are shown of an image's config. */
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

  /** Reads what is pushed; throws what `readPushed` does. */
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

/** The answer to a question, on whatever thread. */
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
      // Of the annotations only this one means something to a push; all of them may be many.
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
