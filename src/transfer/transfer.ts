import { matchesPattern, parseRepositoryPattern } from '../access/patterns.ts'
import { type LoadConfig, openTransport, parseServer } from '../cli/connection.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { field, formatCount, formatText, openProgress, openTerminal, type Terminal } from '../cli/output.ts'
import { TableWriter } from '../cli/table.ts'
import { plural } from '../cli/verb.ts'
import type { RepositoryName } from '../oci/reference.ts'
import {
  type ImageSource,
  type Listed,
  type Send,
  type TransferOptions,
  type Transferred,
  transfer,
} from './copy.ts'
import { exportLayout, openArchive } from './files.ts'
import { BlobLinks, openRemoteRegistry, RegistryClient, type RemoteRegistry } from './registries.ts'

type Progress = Pick<TransferOptions, 'progress' | 'signal'>

/**
 * Imports an OCI layout, an archive of `docker save`, or the data folder of registry:2 into a registry.
 *
 * @param name where to import to; by default the names in the source
 * @param options.data the data folder of that registry, if this user can write to it: files are then linked where possible
 * @throws TransferError when the source is none of these, or continues a bundle that was not imported
 */
async function importImages(
  path: string,
  name: string | undefined,
  send: Send,
  { data, ...options }: Progress & { data?: string | undefined } = {},
): Promise<Transferred> {
  await using archive = await openArchive(path, name)
  const links = data === undefined ? undefined : new BlobLinks(data, send)
  const target = new RegistryClient(send, undefined, links)
  await archive.requireComplete(target)
  return await transfer({ ...options, source: archive.source, target, rename: same })
}

/**
 * Exports images with their referrers to an OCI layout: a folder, or an archive if the path ends with `.tar`.
 *
 * @param since an earlier export, whose blobs are left out
 * @param images REPOSITORY for all its tags, REPOSITORY:TAG or REPOSITORY@DIGEST
 */
async function exportImages(
  path: string,
  images: Listed[],
  send: Send,
  { since, ...options }: Progress & { since?: string | undefined } = {},
): Promise<Transferred> {
  const registry = new RegistryClient(send)
  const list = async function* () {
    for (const image of images) {
      if (image.reference !== '') yield image
      else yield* new RegistryClient(send, [image.repository]).list()
    }
  }
  const listed: ImageSource = {
    list,
    manifest: (...named) => registry.manifest(...named),
    blob: (...named) => registry.blob(...named),
    referrers: (...named) => registry.referrers(...named),
  }
  return await exportLayout(path, since, (target) =>
    transfer({ ...options, source: listed, target, rename: same }),
  )
}

export interface Migration extends Progress {
  /** Patterns of the repositories to copy; all by default. */
  patterns: string[]
  /** Repositories by name, for a registry without a catalog. */
  repositories: string[]
  /** The prefix of the names in this registry, such as `old/`. */
  prefix: string
}

/** Copies a live registry: tags, digests, referrers and signatures. */
async function migrate(
  remote: RemoteRegistry,
  send: Send,
  { patterns, repositories, prefix, ...options }: Migration,
): Promise<Transferred> {
  const parsed = patterns.map(parseRepositoryPattern)
  const isMeant = (name: string) =>
    parsed.length === 0 || parsed.some((pattern) => matchesPattern(pattern, name as RepositoryName))
  const source = new RegistryClient(
    openRemoteRegistry(remote),
    repositories.length > 0 ? repositories : isMeant,
  )
  return await transfer({
    ...options,
    source,
    target: new RegistryClient(send),
    rename: (name) => `${prefix}${name}`,
  })
}

function same(repository: string): string {
  return repository
}

/** Options of a command; --pattern and --repository can be given several times. */
type Options = Readonly<Record<string, string>> & { pattern?: string[]; repository?: string[] }

/** How many differences are printed. */
const PRINTED_MAX = 50

const DIFFERENCE_COLUMNS = [field('image', 'image'), field('difference', 'what'), field('reason', 'reason')]

/** `cay import`. Returns the exit code. */
export async function importFiles(
  path: string,
  name: string | undefined,
  options: Options,
  load: LoadConfig,
): Promise<number> {
  return await run('imported', options, load, (send, progress, data) =>
    importImages(path, name, send, { progress, data }),
  )
}

/** `cay export`. Returns the exit code. */
export async function exportFiles(
  path: string,
  images: string[],
  options: Options,
  load: LoadConfig,
): Promise<number> {
  const listed = images.map(parseImage)
  return await run('exported', options, load, (send, progress) =>
    exportImages(path, listed, send, { since: options.since, progress }),
  )
}

/** `cay migrate`. Returns the exit code. */
export async function migrateFrom(url: string, options: Options, load: LoadConfig): Promise<number> {
  const { username, passwordFile, sourceCa, pattern = [], repository = [], prefix = '' } = options
  if ((username === undefined) !== (passwordFile === undefined)) {
    throw new CommandError('pass --username and --password-file together', EXIT.usage)
  }
  const remote = {
    url: parseServer(url),
    username,
    password: passwordFile && (await readFile(passwordFile, '--password-file')).trim(),
    authorities: sourceCa && (await readFile(sourceCa, '--source-ca')),
  }
  const wanted = { patterns: pattern, repositories: repository, prefix }
  return await run('copied', options, load, (send, progress) =>
    migrate(remote, send, { ...wanted, progress }),
  )
}

type Work = (
  send: Send,
  progress: (done: number, current: Listed) => void,
  /** The data folder of the registry, if it is on this host. */
  data: string | undefined,
) => Promise<Transferred>

async function run(verb: string, options: Options, load: LoadConfig, work: Work): Promise<number> {
  const terminal = openTerminal(process.env)
  const warn = (message: string) => terminal.note(`cay: warning: ${message}`)
  const canCreate = verb !== 'exported'
  const transport = await openTransport({ options, environment: process.env, load, warn, canCreate })
  const send: Send = (path, init = {}) => transport.fetch(path, { redirect: 'manual', ...init })
  try {
    const data = transport.isOwner ? (await load(options)).config.data : undefined
    const { progress, end } = openProgress(terminal, lineOf)
    return await report(terminal, verb, await work(send, progress, data).finally(end))
  } finally {
    await transport.close()
  }
}

/** Prints the counts of copied images, and then the differences with their reasons. Returns the exit code. */
async function report(terminal: Terminal, verb: string, done: Transferred): Promise<number> {
  const { copied, unchanged, blobs, linked, differences, differenceCount, failedCount } = done
  const known = unchanged === 0 ? '' : `; ${formatCount(unchanged)} unchanged`
  const links = linked === 0 ? '' : ` (${formatCount(linked)} of them as hard links)`
  await terminal.write(`${verb} ${plural(copied, 'image')}, ${plural(blobs, 'blob')}${links}${known}\n`)
  if (differenceCount === 0) return EXIT.done
  if (failedCount > 0) terminal.note(`cay: ${plural(failedCount, 'image')} could not be ${verb}`)
  const shown = differences.slice(0, PRINTED_MAX)
  await new TableWriter(DIFFERENCE_COLUMNS, terminal).write(
    shown.map((one) => ({ ...one, image: nameOf(one) })),
  )
  if (differenceCount > shown.length)
    await terminal.write(`and ${formatCount(differenceCount - shown.length)} more differences\n`)
  return failedCount === 0 ? EXIT.done : EXIT.failed
}

/** Parses REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST; the reference of the first is empty. */
function parseImage(text: string): Listed {
  const [, repository = '', digest, tag] = /^([^:@]+)(?:@(.+)|:(.+))?$/.exec(text) ?? []
  if (repository === '')
    throw new CommandError(`invalid image "${text}": expected REPOSITORY:TAG`, EXIT.usage)
  return { repository, reference: digest ?? tag ?? '' }
}

function nameOf({ repository, reference }: Listed): string {
  return `${repository}${reference.includes(':') ? '@' : ':'}${reference}`
}

async function readFile(path: string, name: string): Promise<string> {
  try {
    return await Bun.file(path).text()
  } catch (cause) {
    throw new CommandError(`cannot read ${path} (from ${name}): ${(cause as Error).message}`, EXIT.usage, {
      cause,
    })
  }
}

function lineOf(done: number, current: Listed): string {
  return `${plural(done, 'image')}, last ${formatText(nameOf(current))}`
}
