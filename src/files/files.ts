import { LRUCache } from 'lru-cache'
import PQueue from 'p-queue'
import type { Principal } from '../access/access.ts'
import type { Descriptions } from '../content/content.ts'
import { invalidCursor, PAGE_DEFAULT, type PageQuery } from '../http/list-page.ts'
import type { Jobs } from '../jobs/jobs.ts'
import { registryError, tooManyRequests } from '../oci/error.ts'
import type { Digest, Reference, RepositoryName } from '../oci/reference.ts'
import type { Blobs } from '../registry/registry.ts'
import type { FedBody } from '../storage/blob-store.ts'
import type { LayerContent } from './archive.ts'
import { changesName } from './index-folder.ts'
import {
  type ChangesAnswer,
  FileError,
  type FileLocation,
  type FileQuestion,
  type FileSource,
  type ListAnswer,
  type SearchAnswer,
} from './question.ts'
import type { FileReader } from './reader.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    files: ReturnType<typeof fileService>
  }
}

/** The maximum layers of an image that is shown as one file system. */
const LAYERS_MAX = 256

/** What is browsed: one layer, or an image with all its layers. */
export type Browsed = { layer: Digest } | { reference: Reference }

export interface FilesQuery extends PageQuery {
  /** The directory; empty for the root. */
  path?: string | undefined
  /** Lists the entries below the directory whose names contain this text, instead of the directory. */
  search?: string | undefined
}

export type FileEntry = ListAnswer['items'][number]
export type FileChange = ChangesAnswer['items'][number]

/** A page, or how far the index is that it needs. */
export interface FilePage<T> {
  items: T[]
  next: string | undefined
  /** Set while the index is being made. Then there are no entries yet. */
  indexing: Indexing | undefined
}

export type FilesPage = FilePage<FileEntry> & Pick<ListAnswer, 'problems'>

/** One file to send. */
export interface OpenFile {
  name: string
  /** Bytes. */
  size: number
  /** Begins to read it. The body must then be fed to a client. */
  start(): Promise<FedBody>
}

export interface FileServiceOptions {
  indexes: FileIndexes
  /** Only stored blobs, so that nothing is fetched from an upstream. */
  storedBlobs: Pick<Blobs, 'open'>
  descriptions: Descriptions
  now: () => number
}

/** The files in layers and images. Each method throws NAME_UNKNOWN, and BLOB_UNKNOWN or MANIFEST_UNKNOWN. */
export function fileService(options: FileServiceOptions) {
  const { indexes, storedBlobs } = options
  const layersOf = layersOfBrowsed(options)
  const accountOf = (principal: Principal) => principal.account ?? 'anonymous'

  return {
    /** Lists a directory by name, or the entries that a search finds. */
    async list(
      principal: Principal,
      repository: RepositoryName,
      browsed: Browsed,
      query: FilesQuery,
    ): Promise<FilesPage> {
      const position = positionOf(query.cursor)
      const layers = await layersOf(repository, browsed)
      const indexing = await indexes.ensure(layers, accountOf(principal))
      if (indexing) return { items: [], next: undefined, indexing, problems: [] }
      return await readPage(indexes, sourceFor(browsed, layers), query, position)
    },

    /** Opens one file. Throws NOT_FOUND, or CONFLICT when the path is not a file with content. */
    async open(
      principal: Principal,
      repository: RepositoryName,
      browsed: Browsed,
      path: string,
    ): Promise<OpenFile> {
      const account = accountOf(principal)
      const layers = await layersOf(repository, browsed)
      if (await indexes.ensure(layers, account))
        throw tooManyRequests('the layers are being indexed: try again in a few seconds', 3, 503)
      const names = partsOf(path)
      const source = sourceFor(browsed, layers)
      const location = await indexes.ask<FileLocation>({ do: 'locate', source, path: names })
      return {
        name: names.at(-1) ?? '',
        size: location.size,
        async start() {
          const content = await contentOf(storedBlobs, repository, location.layer as Digest)
          const stream = await indexes.ask<number>({ do: 'open', account, content, location })
          return { feed: (sink) => feed(indexes, stream, sink) }
        },
      }
    },

    /** Lists how the files of two images differ, in the order of the paths. */
    async changes(
      principal: Principal,
      repository: RepositoryName,
      from: Reference,
      to: Reference,
      query: PageQuery,
    ): Promise<FilePage<FileChange> & Partial<Pick<ChangesAnswer, 'summary'>>> {
      const { dir: after } = positionOf(query.cursor)
      const before = await layersOf(repository, { reference: from })
      const later = await layersOf(repository, { reference: to })
      const made = await indexes.compare(before, later, accountOf(principal))
      if ('indexing' in made) return { items: [], next: undefined, ...made }
      const limit = query.limit ?? PAGE_DEFAULT
      const page = await indexes.ask<ChangesAnswer>({ do: 'changes', name: made.name, after, limit })
      const next = page.next === undefined ? undefined : cursorOf({ layer: 0, dir: page.next, name: '' })
      return { ...page, next, indexing: undefined }
    },
  }
}

/** Returns a function that finds the layers of a target, the uppermost first. */
function layersOfBrowsed({ storedBlobs, descriptions, now }: FileServiceOptions) {
  const layerOf = async (repository: RepositoryName, digest: Digest): Promise<FileLayer> => {
    const { size } = await storedBlobs.open(repository, digest)
    return { digest, size, open: () => contentOf(storedBlobs, repository, digest) }
  }
  return async (repository: RepositoryName, browsed: Browsed): Promise<FileLayer[]> => {
    if ('layer' in browsed) return [await layerOf(repository, browsed.layer)]
    const { layers, manifests } = await descriptions.describe(repository, browsed.reference, now())
    if (manifests.length > 0)
      throw registryError('UNSUPPORTED', 'an index has no files: name one of its manifests by its digest')
    if (layers.length === 0) throw registryError('UNSUPPORTED', 'the manifest has no layers')
    if (layers.length > LAYERS_MAX)
      throw registryError('UNSUPPORTED', `the image has more than ${LAYERS_MAX} layers: browse one of them`)
    const found: FileLayer[] = []
    for (const { digest } of layers) found.unshift(await layerOf(repository, digest))
    return found
  }
}

async function readPage(
  indexes: FileIndexes,
  source: FileSource,
  { path = '', search = '', limit = PAGE_DEFAULT }: FilesQuery,
  position: Position,
): Promise<FilesPage> {
  const names = partsOf(path)
  if (search === '') {
    const question = { do: 'list' as const, source, limit, path: names, after: position.name }
    const page = await indexes.ask<ListAnswer>(question)
    const next = page.next === undefined ? undefined : cursorOf({ layer: 0, dir: 0, name: page.next })
    return { ...page, next, indexing: undefined }
  }
  const question = { do: 'search' as const, source, limit, text: search, below: names, after: position }
  const { items, next } = await indexes.ask<SearchAnswer>(question)
  return { items, next: next && cursorOf(next), indexing: undefined, problems: [] }
}

function sourceFor(browsed: Browsed, layers: readonly FileLayer[]): FileSource {
  return { layers: layers.map(({ digest }) => digest), isImage: 'reference' in browsed }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** Returns the bytes of a layer for the thread: the path of its file, or a copy of a small one. */
async function contentOf(
  blobs: Pick<Blobs, 'open'>,
  repository: RepositoryName,
  digest: Digest,
): Promise<LayerContent> {
  const blob = await blobs.open(repository, digest)
  const body = await blob.read({ start: 0, end: blob.size })
  if ('file' in body) return body.file
  if ('bytes' in body) return new Uint8Array(body.bytes)
  throw new Error(`${digest} is not stored`)
}

/** Sends a file chunk by chunk: the next one is read when the client has taken the last. */
async function feed(
  indexes: FileIndexes,
  stream: number,
  sink: { write(bytes: Uint8Array): boolean | Promise<boolean> },
): Promise<void> {
  try {
    for (;;) {
      const bytes = await indexes.ask<Uint8Array | undefined>({ do: 'read', stream })
      if (bytes === undefined || !(await sink.write(bytes))) return
    }
  } finally {
    await indexes.ask({ do: 'close', stream }).catch(() => {})
  }
}

/** Where a list of files continues. A directory uses only the name, and a list of changes only `dir`, a number. */
interface Position {
  layer: number
  dir: number
  name: string
}

const BEGINNING: Position = { layer: 0, dir: 0, name: '' }

/** Formats a position as a cursor. Names can contain anything, so they are encoded. */
function cursorOf({ layer, dir, name }: Position): string {
  return `${layer}.${dir}.${Buffer.from(name).toString('base64url')}`
}

/** Parses a cursor. Throws REQUEST_INVALID. */
function positionOf(cursor: string | undefined): Position {
  if (cursor === undefined || cursor === '') return BEGINNING
  const [, layer, dir, name] = /^(\d{1,9})\.(\d{1,9})\.([\w-]*)$/.exec(cursor) ?? []
  if (name === undefined) throw invalidCursor()
  return { layer: Number(layer), dir: Number(dir), name: Buffer.from(name, 'base64url').toString() }
}

/** How many pieces of work may wait for the thread. Further ones are refused. */
const WAITING_MAX = 16

/** How much of it can be of one account, so that a few slow layers of one do not refuse everybody else. */
const WORKS_PER_ACCOUNT_MAX = 4

/** How long a request waits for an index before it responds with the progress. */
const WAIT_MS = 1500

/** How many layers that cannot be indexed are remembered. */
const UNREADABLE_MAX = 1000

/** A layer of an image. */
interface FileLayer {
  digest: Digest
  /** Bytes, compressed. */
  size: number
  /** Opens its bytes. Throws when they are not stored. */
  open: () => Promise<LayerContent>
}

/** The progress of an index, in bytes of layers, or of a comparison, in files, whose total is unknown. */
interface Indexing {
  done: number
  total: number | undefined
}

type Run = (signal: AbortSignal, report: (done: number) => void) => Promise<void>

interface Work {
  account: string
  progress: Indexing
  ended: Promise<void>
}

/** Indexes layers and compares images, as jobs. Concurrent requests for the same result share one job. */
export class FileIndexes {
  private readonly reader: FileReader
  private readonly jobs: Jobs
  private readonly queue = new PQueue({ concurrency: 1 })
  /** The jobs in progress, by name. */
  private readonly works = new Map<string, Work>()
  private readonly unreadable = new LRUCache<string, string>({ max: UNREADABLE_MAX })

  constructor({ reader, jobs }: { reader: FileReader; jobs: Jobs }) {
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
    const sources = { from: { layers: a, isImage: true }, to: { layers: b, isImage: true } }
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
    run: Run,
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

  private start(name: string, account: string, total: number | undefined, run: Run): Work {
    const own = [...this.works.values()].filter((work) => work.account === account).length
    if (this.queue.size >= WAITING_MAX || own >= WORKS_PER_ACCOUNT_MAX)
      throw tooManyRequests('too many layers are waiting to be indexed: try again in a minute', 60, 503)
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

function unreadable(digest: string, reason: string) {
  return registryError('UNSUPPORTED', `the files of ${digest} cannot be shown: ${reason}`)
}

/** Turns a failure of the thread that reads files into what a client sees; other errors stay as they are. */
function fileProblem(error: unknown): Error {
  if (!(error instanceof FileError)) return error as Error
  const { reason, message } = error
  switch (reason) {
    case 'absent':
      return registryError('NOT_FOUND', message)
    case 'not-a-file':
    case 'not-a-directory':
      return registryError('CONFLICT', message)
    case 'unreadable':
      return registryError('UNSUPPORTED', message)
    case 'missing':
    case 'full':
      return later(message)
    case 'cancelled':
      return later('the work for this was cancelled')
    case 'failed':
      return error
  }
}

function later(message: string): Error {
  return tooManyRequests(`${message}: try again later`, 10, 503)
}
