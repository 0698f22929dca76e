import type { Principal } from '../../domain/access/principal.ts'
import type { FedBody } from '../../domain/blob-body.ts'
import type { Blobs } from '../../domain/registry.ts'
import {
  type ChangesAnswer,
  DIFFERENCES,
  type FileLocation,
  type FileSource,
  type ListAnswer,
  type SearchAnswer,
} from '../../files/file-question.ts'
import type { LayerContent } from '../../files/layer-bytes.ts'
import type { Digest } from '../../oci/digest.ts'
import { registryError, tooManyRequests } from '../../oci/error.ts'
import type { Reference, RepositoryName } from '../../oci/reference.ts'
import type { Descriptions } from '../content/description.ts'
import { PAGE_DEFAULT, type PageQuery } from '../page.ts'
import { cursorOf, type Position, positionOf } from './file-cursor.ts'
import type { FileIndexes, FileLayer, Indexing } from './file-indexes.ts'

export { DIFFERENCES }

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

export interface FilesPage extends FilePage<FileEntry> {
  problems: ListAnswer['problems']
}

export interface ChangesPage extends FilePage<FileChange> {
  summary: ChangesAnswer['summary'] | undefined
}

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
      if (await indexes.ensure(layers, account)) throw notIndexed()
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
    ): Promise<ChangesPage> {
      const { dir: after } = positionOf(query.cursor)
      const before = await layersOf(repository, { reference: from })
      const made = await indexes.compare(
        before,
        await layersOf(repository, { reference: to }),
        accountOf(principal),
      )
      if ('indexing' in made) return { items: [], next: undefined, summary: undefined, ...made }
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

function notIndexed() {
  return tooManyRequests('the layers are being indexed: try again in a few seconds', 3, 503)
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
