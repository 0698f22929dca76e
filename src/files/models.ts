import { t } from 'elysia'
import { ofManifest } from '../content/models.ts'
import { operation, type RoutesOf } from '../http/operation.ts'
import {
  Count,
  count,
  DIGEST_EXAMPLE,
  DigestParam,
  integer,
  NextCursor,
  oneOf,
  pageParameters,
  RepositoryParam,
  Time,
} from '../http/schemas.ts'
import { DIFFERENCES } from './question.ts'

/** The longest path of a file in a query, in characters. */
const PATH_CHARACTERS_MAX = 1024

const Path = t.String({
  maxLength: PATH_CHARACTERS_MAX,
  description: 'A path in the layer or image',
  example: 'etc/passwd',
})

const layer = t.Object({ repository: RepositoryParam, digest: DigestParam })

const inDirectory = t.Object({
  ...pageParameters,
  path: t.Optional(
    t.String({ maxLength: PATH_CHARACTERS_MAX, description: 'The directory [the root]', example: 'etc' }),
  ),
  search: t.Optional(
    t.String({
      maxLength: 255,
      description:
        'Lists what is below the directory and has this text in its name, instead of the directory',
    }),
  ),
})

const entry = {
  kind: oneOf(
    ['file', 'directory', 'symlink', 'hardlink', 'character-device', 'block-device', 'fifo', 'whiteout'],
    'whiteout: deletes what lower layers have; only in the files of a layer',
  ),
  bytes: count('Bytes; of a hard link, those of the file that it leads to'),
  mode: t.Optional(t.String({ description: 'Permissions, in octal', example: '0644' })),
  uid: t.Optional(integer()),
  gid: t.Optional(integer()),
  modifiedAt: t.Optional(Time),
  target: t.Optional(t.String({ description: 'The target of a link, which is never followed' })),
  digest: t.Optional(t.String({ description: 'The digest of the content', example: DIGEST_EXAMPLE })),
  layer: t.String({ description: 'The digest of the layer that it is from' }),
}

const Entry = t.Object({
  name: t.String({ example: 'passwd' }),
  path: Path,
  ...entry,
  opaque: t.Boolean({ description: 'Whether a directory hides what lower layers have in it' }),
})

const Indexing = t.Optional(
  t.Object(
    { done: Count, total: t.Optional(Count) },
    {
      description:
        'Present while an index is being made: there are no items yet; repeat the request in a second. Bytes of layers, or files compared',
    },
  ),
)

const Problem = t.Object({
  path: t.String({ example: '../etc/passwd' }),
  reason: t.String({ example: 'its path contains ".."' }),
})

const Files = t.Object(
  {
    items: t.Array(Entry),
    nextCursor: NextCursor,
    indexing: Indexing,
    problems: t.Array(Problem, {
      description: 'Oddities of the archives, such as members that cannot be shown; at most 100',
    }),
  },
  { description: 'Entries by name. A page can be short, or empty, and still have a next one' },
)

const ChangedEntry = t.Optional(t.Object(entry))

const Change = t.Object({
  path: Path,
  change: oneOf(['added', 'changed', 'removed']),
  differs: t.Array(oneOf(DIFFERENCES), { description: 'What is different; times are not compared' }),
  from: ChangedEntry,
  to: ChangedEntry,
})

const Changes = t.Object(
  {
    items: t.Array(Change),
    nextCursor: NextCursor,
    indexing: Indexing,
    summary: t.Optional(
      t.Object({
        added: Count,
        changed: Count,
        removed: Count,
        bytes: integer({ description: 'How many bytes the files of the second image have more' }),
        truncated: t.Boolean({ description: 'Whether there are more changes than are kept' }),
      }),
    ),
  },
  { description: 'How the files of two images differ, by path' },
)

const OF_LAYER = [
  'NAME_UNKNOWN',
  'NAME_INVALID',
  'NOT_FOUND',
  'CONFLICT',
  'UNSUPPORTED',
  'DIGEST_INVALID',
  'BLOB_UNKNOWN',
] as const

const OF_IMAGE = [...OF_LAYER, 'MANIFEST_UNKNOWN', 'MANIFEST_INVALID'] as const

const ABOUT_LISTS =
  'The first request makes an index, which can take a while: see `indexing`. Only stored layers are read, nothing is fetched from an upstream.'

/** The content of one file. */
const FILE = {
  description:
    'A file of a compressed layer is read from the beginning of the layer. Browsers store it as a file and never run it, whatever it is.',
  query: t.Object({ path: Path }),
  answer: t.String({ format: 'binary', description: 'The content of the file', example: 'root:x:0:0:root' }),
  mediaType: 'application/octet-stream',
}

/** The routes below /api/v1. */
export const ROUTES = {
  'repositories/:repository/layers/:digest/files': {
    get: operation('listLayerFiles', 'pull', 'List or search the files of a layer', {
      description: ABOUT_LISTS,
      params: layer,
      query: inDirectory,
      answer: Files,
      errors: OF_LAYER,
    }),
  },
  'repositories/:repository/layers/:digest/files/content': {
    get: operation('downloadLayerFile', 'pull', 'Download a file of a layer', {
      params: layer,
      ...FILE,
      errors: OF_LAYER,
    }),
  },
  'repositories/:repository/manifests/:reference/files': {
    get: operation('listImageFiles', 'pull', 'List or search the files of an image, with all its layers', {
      description: ABOUT_LISTS,
      params: ofManifest,
      query: inDirectory,
      answer: Files,
      errors: OF_IMAGE,
    }),
  },
  'repositories/:repository/manifests/:reference/files/content': {
    get: operation('downloadImageFile', 'pull', 'Download a file of an image', {
      params: ofManifest,
      ...FILE,
      errors: OF_IMAGE,
    }),
  },
  'repositories/:repository/manifests/:reference/files/changes': {
    get: operation('compareImageFiles', 'pull', 'Compare the files of two images of a repository', {
      description: ABOUT_LISTS,
      params: ofManifest,
      query: t.Object({
        ...pageParameters,
        to: t.String({
          maxLength: 135,
          description: 'The second image: a tag, or a digest',
          example: 'latest',
        }),
      }),
      answer: Changes,
      errors: OF_IMAGE,
    }),
  },
}

export type FilesRoutes = RoutesOf<typeof ROUTES>
