import { matchesPattern, parseRepositoryPattern } from '../access/patterns.ts'
import { type LoadConfig, openTransport, parseServer } from '../cli/connection.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { field, formatCount, formatText, openProgress, openTerminal, type Terminal } from '../cli/output.ts'
import { TableWriter } from '../cli/table.ts'
import { plural } from '../cli/verb.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type ImageSource, type Listed, type Send, type Transferred, transfer } from './copy.ts'
import { exportLayout, openArchive } from './files.ts'
import { BlobLinks, openRemoteRegistry, RegistryClient } from './registries.ts'

/** Options of a command; --pattern and --repository can be given several times. */
type Options = Readonly<Record<string, string>> & { pattern?: string[]; repository?: string[] }

/** How many differences are printed. */
const PRINTED_MAX = 50

const DIFFERENCE_COLUMNS = [field('image', 'image'), field('difference', 'what'), field('reason', 'reason')]

/**
 * `cay import`: imports an OCI layout, an archive of `docker save`, or the data folder of registry:2. Files are linked where
 * this user can write to the data folder of the registry. Returns the exit code.
 *
 * @param name where to import to; by default the names in the source
 * @throws TransferError when the source is none of these, or continues a bundle that was not imported
 */
export async function importFiles(
  path: string,
  name: string | undefined,
  options: Options,
  load: LoadConfig,
): Promise<number> {
  return await run('imported', options, load, async (send, progress, data) => {
    await using archive = await openArchive(path, name)
    const links = data === undefined ? undefined : new BlobLinks(data, send)
    const target = new RegistryClient(send, undefined, links)
    await archive.requireComplete(target)
    return await transfer({ source: archive.source, target, rename: same, progress })
  })
}

/**
 * `cay export`: exports images with their referrers to an OCI layout, without the blobs of the earlier export --since.
 * Returns the exit code.
 *
 * @param images REPOSITORY for all its tags, REPOSITORY:TAG or REPOSITORY@DIGEST
 */
export async function exportFiles(
  path: string,
  images: string[],
  options: Options,
  load: LoadConfig,
): Promise<number> {
  const listed = images.map(parseImage)
  return await run('exported', options, load, async (send, progress) => {
    const registry = new RegistryClient(send)
    const source: ImageSource = {
      async *list() {
        for (const image of listed) {
          if (image.reference !== '') yield image
          else yield* new RegistryClient(send, [image.repository]).list()
        }
      },
      manifest: (...named) => registry.manifest(...named),
      blob: (...named) => registry.blob(...named),
      referrers: (...named) => registry.referrers(...named),
    }
    return await exportLayout(path, options.since, (target) =>
      transfer({ source, target, rename: same, progress }),
    )
  })
}

function same(repository: string): string {
  return repository
}

/** `cay migrate`: copies a live registry with its referrers and signatures. Returns the exit code. */
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
  const patterns = pattern.map(parseRepositoryPattern)
  const isMeant = (name: string) =>
    patterns.length === 0 || patterns.some((one) => matchesPattern(one, name as RepositoryName))
  const source = new RegistryClient(openRemoteRegistry(remote), repository.length > 0 ? repository : isMeant)
  return await run('copied', options, load, (send, progress) =>
    transfer({ source, target: new RegistryClient(send), rename: (name) => `${prefix}${name}`, progress }),
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
