import {
  exportImages,
  importImages,
  type Listed,
  migrate,
  type Send,
  type Transferred,
} from '../core/transfers.ts'
import { type LoadConfig, openTransport } from './connect.ts'
import { CommandError, EXIT } from './failure.ts'
import { formatCount, formatText } from './output/format.ts'
import { openProgress } from './output/progress.ts'
import { openTerminal, type Terminal } from './output/terminal.ts'
import { parseServer } from './remote.ts'
import { plural } from './requests.ts'

/** Options of a command; --pattern and --repository can be given several times. */
type Options = Readonly<Record<string, string>> & { pattern?: string[]; repository?: string[] }

/** How many failures are printed. */
const PRINTED_MAX = 50

/** `cay import`. Returns the exit code. */
export async function importFiles(
  path: string,
  name: string | undefined,
  options: Options,
  load: LoadConfig,
): Promise<number> {
  return await run('imported', options, load, (send, progress) =>
    importImages(path, name, send, { progress }),
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

type Work = (send: Send, progress: (done: number, current: Listed) => void) => Promise<Transferred>

async function run(verb: string, options: Options, load: LoadConfig, work: Work): Promise<number> {
  const terminal = openTerminal(process.env)
  const warn = (message: string) => terminal.note(`cay: warning: ${message}`)
  const canCreate = verb !== 'exported'
  const transport = await openTransport({ options, environment: process.env, load, warn, canCreate })
  const send: Send = (path, init = {}) => transport.fetch(path, { redirect: 'manual', ...init })
  try {
    const { progress, end } = openProgress(terminal, lineOf)
    return await report(terminal, verb, await work(send, progress).finally(end))
  } finally {
    await transport.close()
  }
}

/** Prints what was copied, and what could not be. Returns the exit code. */
async function report(terminal: Terminal, verb: string, done: Transferred): Promise<number> {
  const { copied, unchanged, blobs, failed, failedCount } = done
  const known = unchanged === 0 ? '' : `; ${formatCount(unchanged)} unchanged`
  await terminal.write(`${verb} ${plural(copied, 'image')}, ${plural(blobs, 'blob')}${known}\n`)
  if (failedCount === 0) return EXIT.done
  terminal.note(`cay: ${plural(failedCount, 'image')} could not be ${verb}:`)
  for (const { repository, reference, reason } of failed.slice(0, PRINTED_MAX)) {
    terminal.note(`  ${formatText(nameOf({ repository, reference }))}: ${formatText(reason)}`)
  }
  if (failedCount > PRINTED_MAX) terminal.note(`  and ${formatCount(failedCount - PRINTED_MAX)} more`)
  return EXIT.failed
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
