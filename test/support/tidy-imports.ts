import { posix } from 'node:path'
import type { SourceFile } from './source-file.ts'
import type { Rule } from './tidy-rules.ts'

/** What puts everything together. */
const composition = ['main.ts', 'app.ts', 'app', 'page', 'contract.ts']

/** The capabilities, in an order in which each imports only those behind it. `operations.ts` joins their reads and writes. */
const capabilities = [
  'service',
  'operation',
  'transfer',
  'backup',
  'operations.ts',
  'docker-v1',
  'files',
  'content',
  'cache',
  'retention',
  'quota',
  'integrity',
  'history',
  'garbage',
  'registry',
  'accounts',
  'jobs',
  'tls',
]

/** The kernel, which knows no capability. */
const kernel = [
  'data-folder',
  'cli',
  'http',
  'database',
  'storage',
  'config',
  'access',
  'runtime',
  'docker',
  'oci',
]

/** A folder can import itself and what stands behind it. */
const order = [...composition, ...capabilities, ...kernel]

/**
 * The files by which a capability is imported by others, besides the one that has its name: the rows of its tables, for
 * the reads and writes of others.
 */
const doors: Readonly<Record<string, readonly string[]>> = {
  '*': ['store.ts', 'models.ts', 'command.ts'],
  tls: ['trust.ts'],
}

/** What only the composition and the file's own folder import. */
const implementations = ['storage/uploads.ts', 'registry/local-registry.ts']

/** Packages and platform modules, with the only files that may import them. */
const technologies: [packages: RegExp, places: RegExp][] = [
  [/^@elysiajs\//, /^(http|app)\//],
  [/^elysia/, /^(http|app)\/|\/(\w+-)?(api|models)\.ts$|\/(docker-v1|metrics|operation|token-endpoint)\.ts$/],
  [/^(@peculiar\/|reflect-metadata)/, /^tls\//],
  [/^(commander|@bomb\.sh\/)/, /^(app|cli)\/|\/command\.ts$|^main\.ts$/],
]

/** Pure folders: no files, sockets or frameworks. Modules that only compute, such as `node:crypto`, are allowed. */
const pure = {
  places: { oci: [], docker: ['oci'], access: ['oci'] } as Record<string, string[]>,
  banned: /^(node:(fs|net|http|https|child_process|os|worker_threads)|bun)\b/,
}

export const importRules: Rule[] = [
  {
    name: 'imports point one way',
    bad: [
      ['src/accounts/accounts.ts', "import { tags } from '../content/tags.ts'"],
      ['src/quota/quota.ts', "const app = await import('../app.ts')"],
      ['src/database/metadata.ts', "export type { Registry } from '../registry/registry.ts'"],
      ['src/config/config.ts', "import type { Retention } from '../retention/retention.ts'"],
      ['src/oci/manifest.ts', "import { parseSchema1 } from '../docker/schema1.ts'"],
      ['src/new/new.ts', "import { parseDigest } from '../oci/reference.ts'"],
    ],
    faults: (file) => ours(file).flatMap(({ from, to }) => (pointsDown(from, to) ? [] : [`imports ${to}`])),
  },
  {
    name: 'a capability is imported by its doors',
    bad: [['src/retention/retention.ts', "import { Scan } from '../garbage/scan.ts'"]],
    faults: (file) => ours(file).flatMap(({ from, to }) => (entersByDoor(from, to) ? [] : [`imports ${to}`])),
  },
  {
    name: 'only the composition imports implementations',
    bad: [['src/quota/quota.ts', "import { LocalRegistry } from '../registry/local-registry.ts'"]],
    faults: (file) =>
      ours(file).flatMap(({ from, to }) =>
        implementations.includes(to) && !composition.includes(place(from)) && place(from) !== place(to)
          ? [`imports ${to}`]
          : [],
      ),
  },
  {
    name: 'a technology stays in its place',
    bad: [
      ['src/content/tags.ts', "import { Elysia } from 'elysia'"],
      ['src/content/tags.ts', "import { Command } from 'commander'"],
    ],
    faults: (file) =>
      isSource(file) ? file.imports.filter((name) => isOutOfPlace(withoutSrc(file.path), name)) : [],
  },
  {
    name: 'SQL and HTTP do not meet in a file',
    bad: [['src/quota/api.ts', "import { t } from 'elysia'\nimport { sql } from 'drizzle-orm'"]],
    faults: (file) => {
      const has = (name: RegExp) => file.imports.find((one) => name.test(one))
      const sql = isSource(file) && has(/^drizzle-orm/)
      return sql && has(/^elysia|\/http\/(?!controller)/) ? [`imports ${sql}`] : []
    },
  },
  {
    name: 'what is pure imports only what is pure and below it, and touches nothing outside',
    bad: [
      ['src/oci/reference.ts', "import { readFile } from 'node:fs/promises'"],
      ['src/oci/manifest.ts', "import { parseSchema1 } from '../docker/schema1.ts'"],
      ['src/docker/schema1.ts', "import { log } from '../runtime/log.ts'"],
      ['src/access/access.ts', "import type { Registry } from '../registry/registry.ts'"],
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

/** Reports whether an import stays in its folder or leads to one that stands behind it. */
function pointsDown(from: string, to: string): boolean {
  const [at, target] = [order.indexOf(place(from)), order.indexOf(place(to))]
  return at !== -1 && target !== -1 && (place(from) === place(to) || at < target || isComposed(from, to))
}

/** The files of the composition import each other. */
function isComposed(from: string, to: string): boolean {
  const parts = ['app.ts', 'app', 'main.ts']
  return parts.includes(place(from)) && parts.includes(place(to))
}

function entersByDoor(from: string, to: string): boolean {
  const [own, other] = [place(from), place(to)]
  if (own === other || composition.includes(own) || own === 'operations.ts') return true
  if (!capabilities.includes(other) || other.endsWith('.ts')) return true
  const name = to.slice(other.length + 1)
  return [`${other}.ts`, ...(doors['*'] ?? []), ...(doors[other] ?? [])].includes(name)
}

function isOutOfPlace(path: string, name: string): boolean {
  return technologies.some(([packages, places]) => packages.test(name) && !places.test(path))
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
