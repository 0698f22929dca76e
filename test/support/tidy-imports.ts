import { posix } from 'node:path'
import type { SourceFile } from './source-file.ts'
import type { Rule } from './tidy-rules.ts'

/** The layers: a folder may import itself and the folders of the lines below its own. */
const layers = [
  ['main.ts'],
  ['cli', 'page'],
  ['app.ts'],
  ['http'],
  ['core'],
  ['auth', 'backup', 'files', 'proxy', 'gc', 'integrity', 'tls', 'transfer', 'data-folder'],
  ['storage', 'metadata'],
  ['domain'],
  ['docker'],
  ['oci'],
]

/** What the surfaces may reach only through the services of core/. */
const behindCore = [
  'auth',
  'backup',
  'files',
  'gc',
  'integrity',
  'metadata',
  'proxy',
  'storage',
  'tls',
  'transfer',
  'data-folder',
]

/** What only app.ts and the file's own folder may import. */
const implementations = ['storage/filesystem.ts', 'core/registry/local-registry.ts']

/** Packages and platform modules, with the only places that may import them. */
const technologies: [packages: RegExp, places: string[]][] = [
  [/^(elysia|@elysiajs\/)/, ['http', 'app.ts']],
  [/^drizzle-orm/, ['metadata']],
  [/^bun:sqlite/, ['metadata', 'files']],
  [
    /^node:fs/,
    [
      'storage',
      'metadata',
      'cli',
      'tls',
      'auth',
      'config',
      'telemetry',
      'app.ts',
      'data-folder',
      'backup',
      'files',
      'integrity',
      'transfer',
    ],
  ],
  [/^(@peculiar\/|reflect-metadata)/, ['tls']],
  [/^(commander|@bomb\.sh\/)/, ['cli', 'main.ts']],
]

/** Pure folders: no files, sockets or frameworks. Modules that only compute, such as `node:crypto`, are allowed. */
const pure = {
  places: { oci: [], docker: ['oci'], domain: ['oci'] } as Record<string, string[]>,
  banned: /^(node:(fs|net|http|https|child_process|os|worker_threads)|bun)\b/,
}

export const importRules: Rule[] = [
  {
    name: 'imports point one way',
    bad: [
      ['src/auth/token.ts', "import { tags } from '../core/tags.ts'"],
      ['src/core/tags.ts', "const app = await import('../app.ts')"],
      ['src/metadata/blobs.ts', "export type { BlobStore } from '../storage/blob-store.ts'"],
      ['src/config/config.ts', "import type { Registry } from '../core/registry.ts'"],
      ['src/oci/manifest.ts', "import { parseSchema1 } from '../docker/schema1.ts'"],
    ],
    faults: (file) => ours(file).flatMap(({ from, to }) => (pointsDown(from, to) ? [] : [`imports ${to}`])),
  },
  {
    name: 'the surfaces reach the database, the store and the rest through the services of core/',
    bad: [
      ['src/http/distribution/blobs.ts', "import type { Metadata } from '../../metadata/metadata.ts'"],
      ['src/cli/nouns/content/tags.ts', "import type { Collector } from '../../../gc/collector.ts'"],
    ],
    faults: (file) =>
      ours(file).flatMap(({ from, to }) =>
        ['http', 'cli'].includes(place(from)) && behindCore.includes(place(to)) ? [`imports ${to}`] : [],
      ),
  },
  {
    name: 'only app.ts imports implementations',
    bad: [['src/http/distribution/blobs.ts', "import { Files } from '../../storage/filesystem.ts'"]],
    faults: (file) =>
      ours(file).flatMap(({ from, to }) =>
        implementations.includes(to) && from !== 'app.ts' && place(from) !== place(to)
          ? [`imports ${to}`]
          : [],
      ),
  },
  {
    name: 'a technology stays in its place',
    bad: [['src/core/tags.ts', "import { sql } from 'drizzle-orm'"]],
    faults: (file) =>
      isSource(file) ? file.imports.filter((name) => isOutOfPlace(place(withoutSrc(file.path)), name)) : [],
  },
  {
    name: 'what is pure imports only what is pure and below it, and touches nothing outside',
    bad: [
      ['src/oci/digest.ts', "import { readFile } from 'node:fs/promises'"],
      ['src/oci/manifest.ts', "import { parseSchema1 } from '../docker/schema1.ts'"],
      ['src/docker/schema1.ts', "import { log } from '../telemetry/log.ts'"],
      ['src/docker/schema1.ts', "import type { StoredManifest } from '../domain/registry.ts'"],
    ],
    faults: (file) => {
      const below = isSource(file) ? pure.places[place(withoutSrc(file.path))] : undefined
      if (below === undefined) return []
      const outside = ours(file).filter(
        ({ from, to }) => place(from) !== place(to) && !below.includes(place(to)),
      )
      return [...file.imports.filter((name) => pure.banned.test(name)), ...outside.map(({ to }) => to)]
    },
  },
]

/** Returns the imports between files of src/, as paths relative to it. */
function ours(file: SourceFile): { from: string; to: string }[] {
  if (!isSource(file)) return []
  const from = withoutSrc(file.path)
  return (
    file.imports
      .filter((name) => name.startsWith('.'))
      .map((name) => ({ from, to: posix.join(posix.dirname(from), name) }))
      // A page that is served as a file is no module.
      .filter(({ to }) => !to.startsWith('..') && !to.endsWith('.html'))
  )
}

/**
 * Reports whether an import points to the same or a lower layer. Files directly in src/ without a layer may be imported
 * from anywhere, and import only each other.
 */
function pointsDown(from: string, to: string): boolean {
  const [fromLayer, toLayer] = [from, to].map((path) =>
    layers.findIndex((layer) => layer.includes(place(path))),
  )
  if (place(from) === place(to) || toLayer === -1) return true
  if (fromLayer === -1) return toLayer === layers.length - 1
  return (fromLayer ?? 0) < (toLayer ?? 0)
}

function isOutOfPlace(where: string, name: string): boolean {
  return technologies.some(([packages, places]) => packages.test(name) && !places.includes(where))
}

/** Returns the folder of src/ that a file is in, or the file itself if it is directly in src/. */
function place(path: string): string {
  return path.split('/')[0] ?? ''
}

function isSource(file: SourceFile): boolean {
  return file.path.startsWith('src/')
}

function withoutSrc(path: string): string {
  return path.slice('src/'.length)
}
