import { LRUCache } from 'lru-cache'
import PQueue from 'p-queue'
import { FileError, type FileQuestion, type FileSource } from '../../files/file-question.ts'
import type { FileReader } from '../../files/file-reader.ts'
import { changesName } from '../../files/index-name.ts'
import type { LayerContent } from '../../files/layer-bytes.ts'
import type { Digest } from '../../oci/digest.ts'
import { registryError, tooManyRequests } from '../../oci/error.ts'
import type { Jobs } from '../jobs/jobs.ts'
import { fileProblem } from './file-problem.ts'

/** How many pieces of work may wait for the thread. Further ones are refused. */
const WAITING_MAX = 16

/** How much of it can be of one account, so that a few slow layers of one do not refuse everybody else. */
const WORKS_PER_ACCOUNT_MAX = 4

/** How long a request waits for an index before it responds with the progress. */
const WAIT_MS = 1500

/** How many layers that cannot be indexed are remembered. */
const UNREADABLE_MAX = 1000

/** A layer of an image. */
export interface FileLayer {
  digest: Digest
  /** Bytes, compressed. */
  size: number
  /** Opens its bytes. Throws when they are not stored. */
  open: () => Promise<LayerContent>
}

/** The progress of an index, in bytes of layers, or of a comparison, in files, whose total is unknown. */
export interface Indexing {
  done: number
  total: number | undefined
}

interface Work {
  account: string
  progress: Indexing
  ended: Promise<void>
}

export interface FileIndexOptions {
  reader: FileReader
  jobs: Jobs
}

/** Indexes layers and compares images, as jobs. Concurrent requests for the same result share one job. */
export class FileIndexes {
  private readonly reader: FileReader
  private readonly jobs: Jobs
  private readonly queue = new PQueue({ concurrency: 1 })
  /** The jobs in progress, by name. */
  private readonly works = new Map<string, Work>()
  private readonly unreadable = new LRUCache<string, string>({ max: UNREADABLE_MAX })

  constructor({ reader, jobs }: FileIndexOptions) {
    this.reader = reader
    this.jobs = jobs
  }

  /**
   * Makes the indexes of layers that do not have one. Returns the progress if that takes longer than a request waits,
   * and undefined when all have one.
   *
   * @throws RegistryError UNSUPPORTED when a layer is no archive, and TOOMANYREQUESTS
   */
  async ensure(layers: readonly FileLayer[], account: string): Promise<Indexing | undefined> {
    const digests = layers.map(({ digest }) => digest)
    for (const digest of digests) {
      const reason = this.unreadable.get(digest)
      if (reason !== undefined) throw unreadable(digest, reason)
    }
    const missing = new Set(await this.ask<string[]>({ do: 'missing', layers: digests }))
    if (missing.size === 0) return undefined
    const wanted = [...new Map(layers.map((layer) => [layer.digest, layer])).values()].filter(({ digest }) =>
      missing.has(digest),
    )
    const total = wanted.reduce((sum, { size }) => sum + size, 0)
    return await this.work(`layers ${[...missing].join(' ')}`, account, total, async (signal, report) => {
      let before = 0
      for (const layer of wanted) {
        await this.build(layer, digests, signal, (done) => report(before + done))
        before += layer.size
        report(before)
      }
    })
  }

  /** Compares two images. Returns the progress as `ensure` does. */
  async compare(
    from: readonly FileLayer[],
    to: readonly FileLayer[],
    account: string,
  ): Promise<{ indexing: Indexing } | { name: string }> {
    const [a, b] = [from, to].map((layers) => layers.map(({ digest }) => digest)) as [Digest[], Digest[]]
    const name = changesName(a, b)
    const isMade = await this.has(name)
    if (isMade) return { name }
    const indexing = await this.ensure([...from, ...to], account)
    if (indexing) return { indexing }
    const sources = { from: sourceOf(a), to: sourceOf(b) }
    const comparing = await this.work(name, account, undefined, (signal, progress) =>
      this.reader.run(name, { do: 'compare', name, ...sources }, { signal, progress }),
    )
    return comparing ? { indexing: comparing } : { name }
  }

  /** Sends a question to the thread. @throws RegistryError */
  async ask<T>(question: FileQuestion): Promise<T> {
    return await this.reader.ask<T>(question).catch((error) => {
      throw fileProblem(error)
    })
  }

  private async has(name: string): Promise<boolean> {
    return await this.reader.ask({ do: 'changes', name, after: 0, limit: 0 }).then(
      () => true,
      () => false,
    )
  }

  private async build(
    { digest, open }: FileLayer,
    needed: readonly string[],
    signal: AbortSignal,
    progress: (done: number) => void,
  ): Promise<void> {
    // A request for another image may have made it in the meantime.
    const missing = await this.reader.ask<string[]>({ do: 'missing', layers: [digest] })
    if (missing.length === 0) return
    try {
      const content = await open()
      await this.reader.run(digest, { do: 'build', layer: digest, content, needed }, { signal, progress })
    } catch (error) {
      if (error instanceof FileError && error.reason === 'unreadable') {
        this.unreadable.set(digest, error.message)
        throw unreadable(digest, error.message)
      }
      throw error
    }
  }

  /** Runs work as a job, or joins the same work if it is running. Waits at most WAIT_MS for its end. */
  private async work(
    name: string,
    account: string,
    total: number | undefined,
    run: (signal: AbortSignal, report: (done: number) => void) => Promise<void>,
  ): Promise<Indexing | undefined> {
    const work = this.works.get(name) ?? this.start(name, account, total, run)
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => resolve('late'), WAIT_MS)
    try {
      return (await Promise.race([work.ended, late])) === 'late' ? work.progress : undefined
    } finally {
      clearTimeout(timer)
    }
  }

  private start(
    name: string,
    account: string,
    total: number | undefined,
    run: (signal: AbortSignal, report: (done: number) => void) => Promise<void>,
  ): Work {
    const own = [...this.works.values()].filter((work) => work.account === account).length
    if (this.queue.size >= WAITING_MAX || own >= WORKS_PER_ACCOUNT_MAX) throw busy()
    const work: Work = { account, progress: { done: 0, total }, ended: Promise.resolve() }
    const job = () =>
      this.jobs.runForReaders('index', account, async ({ signal, progress }) => {
        const report = (done: number) => {
          work.progress = { done, total }
          progress(done, total)
        }
        await run(signal, report).catch((error) => {
          throw fileProblem(error)
        })
      })
    work.ended = this.queue
      // The first one of an account precedes the further ones of others.
      .add(job, { priority: -own })
      .finally(() => this.works.delete(name))
    // The callers that wait get the error. There may be none.
    work.ended.catch(() => {})
    this.works.set(name, work)
    return work
  }
}

/** Converts the layers of an image to what the thread needs. */
function sourceOf(layers: readonly Digest[]): FileSource {
  return { layers, isImage: true }
}

function unreadable(digest: string, reason: string) {
  return registryError('UNSUPPORTED', `the files of ${digest} cannot be shown: ${reason}`)
}

function busy() {
  return tooManyRequests('too many layers are waiting to be indexed: try again in a minute', 60, 503)
}
