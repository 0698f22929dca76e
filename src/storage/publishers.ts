import { dirname } from 'node:path'
import { WorkerClient } from '../runtime/threads.ts'
import type { BlobPlace } from './blob-store.ts'
import { type FileFailure, fromFileFailure } from './durable-file.ts'

/** How many blobs are synced at once. Each needs a thread of about 2 MiB, which is started on demand. */
const PUBLISHERS_MAX = 8

/** How to publish a verified file as a blob. */
export interface Publication {
  /** The descriptor of the upload's open file. */
  path: string
  fd: number
  /** Whether the file was published before, so that it is a blob already. */
  isPublished: boolean
  /** Whether the upload keeps its own name for the file until it is cancelled. */
  keep: boolean
  place: BlobPlace
}

/** A message to a publisher: publish a file, or create the folders of an algorithm's blobs. */
export type PublisherQuestion = Publication | { algorithm: string }

type PublisherClient = WorkerClient<PublisherQuestion, FileFailure>

/**
 * Threads that only publish blobs. A sync on a slow disk takes long, and must block neither the digesters nor the
 * runtime's own threads, which read for pulls.
 */
export class Publishers {
  private readonly all: PublisherClient[] = []
  private readonly idle: PublisherClient[] = []
  private readonly waiting: ((publisher: PublisherClient) => void)[] = []
  /** By algorithm: resolves when all folders of its blobs exist durably. */
  private readonly algorithms = new Map<string, Promise<void>>()
  private readonly onFailure: (error: Error) => void

  constructor(onFailure: (error: Error) => void) {
    this.onFailure = onFailure
  }

  /**
   * Publishes a file as a blob: syncs it, gives it the blob's name, and syncs the folder. The blob is durable when this
   * resolves. A sync that fails leaves the upload empty, since a second one would report success.
   */
  async publish(publication: Publication): Promise<void> {
    await this.makeFolders(dirname(publication.place.folder))
    await this.ask(publication)
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((publisher) => publisher.stop()))
  }

  private makeFolders(algorithm: string): Promise<void> {
    const known = this.algorithms.get(algorithm)
    if (known) return known
    const made = this.ask({ algorithm })
    this.algorithms.set(algorithm, made)
    made.catch(() => this.algorithms.delete(algorithm))
    return made
  }

  private async ask(question: PublisherQuestion): Promise<void> {
    const publisher = await this.take()
    try {
      await publisher.ask(question)
    } finally {
      this.give(publisher)
    }
  }

  private take(): PublisherClient | Promise<PublisherClient> {
    const idle = this.idle.pop()
    if (idle) return idle
    if (this.all.length < PUBLISHERS_MAX) return this.start()
    const { promise, resolve } = Promise.withResolvers<PublisherClient>()
    this.waiting.push(resolve)
    return promise
  }

  private give(publisher: PublisherClient): void {
    const next = this.waiting.shift()
    if (next) next(publisher)
    else this.idle.push(publisher)
  }

  private start(): PublisherClient {
    const { onFailure } = this
    const worker = new Worker(new URL('./publisher.ts', import.meta.url))
    const publisher: PublisherClient = new WorkerClient(worker, {
      name: 'a publisher',
      toError: fromFileFailure,
      onFailure,
    })
    this.all.push(publisher)
    return publisher
  }
}
