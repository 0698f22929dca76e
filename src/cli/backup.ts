import { resolve } from 'node:path'
import { backUp } from '../core/backup/backup.ts'
import { listSnapshots, type NamedSnapshot } from '../core/backup/backup-folder.ts'
import { findSnapshot, restoreBackup, type Verified, verifySnapshot } from '../core/backup/restore.ts'
import type { LoadConfig } from './connect.ts'
import { CommandError, EXIT } from './failure.ts'
import { formatBytes, formatCount } from './output/format.ts'
import { openTerminal, type Terminal } from './output/terminal.ts'

type Options = Readonly<Record<string, string>>

/** The shortest time between two lines of progress. */
const PROGRESS_MS_MIN = 1000

/** How many missing blobs are named in the output. */
const NAMED_MAX = 20

/** `cay backup`: makes a snapshot, or verifies or lists those of a backup folder. Returns the exit code. */
export async function backup(folder: string, options: Options, load: LoadConfig): Promise<number> {
  const terminal = openTerminal(process.env)
  const target = resolve(folder)
  if (options.list) return await list(target, terminal)
  if (options.verify) return await verify(target, terminal)
  const { data, metadata } = await foldersOf(options, load)
  keepPrivate()
  const keep = options.keep === undefined ? undefined : parseKeep(options.keep)
  const made = await backUp({
    data,
    metadata,
    target,
    at: Date.now(),
    keep,
    withCache: options.withCache !== undefined,
    progress: progressOf(terminal),
  })
  endProgress(terminal)
  const { snapshot, copied, copiedBytes, removed } = made
  await terminal.write(
    `made snapshot ${snapshot.name} of ${countsOf(snapshot)}\n` +
      `copied ${formatCount(copied)} new blobs, ${formatBytes(copiedBytes)}\n` +
      removed.map((name) => `deleted snapshot ${name}\n`).join('') +
      'It contains the accounts and the signing keys: keep it private.\n',
  )
  return await report(terminal, { missing: snapshot.info.missing, missingCount: snapshot.info.missingCount }, data)
}

/** `cay restore`: restores a snapshot into an empty data folder. Returns the exit code. */
export async function restore(folder: string, options: Options, load: LoadConfig): Promise<number> {
  const terminal = openTerminal(process.env)
  const { data, metadata } = await foldersOf(options, load)
  keepPrivate()
  const source = resolve(folder)
  const restored = await restoreBackup({
    source,
    name: options.snapshot,
    data,
    metadata,
    progress: progressOf(terminal),
  })
  endProgress(terminal)
  const { snapshot } = restored
  await terminal.write(
    `restored snapshot ${snapshot.name} of ${countsOf(snapshot)} to ${data}\n` +
      'The accounts, tokens and signing keys are those of the snapshot. Start cay to use it.\n',
  )
  return await report(terminal, restored, source)
}

async function list(target: string, terminal: Terminal): Promise<number> {
  const snapshots = await listSnapshots(target)
  if (snapshots.length === 0) terminal.note('There are no snapshots.')
  for (const one of snapshots) await terminal.write(`${one.name}  cay ${one.info.version}  ${countsOf(one)}\n`)
  return EXIT.done
}

async function verify(target: string, terminal: Terminal): Promise<number> {
  const snapshot = await findSnapshot(target, undefined)
  const found = await verifySnapshot(target, snapshot, { progress: progressOf(terminal) })
  endProgress(terminal)
  if (found.damage.length > 0) {
    throw new CommandError(`the database of snapshot ${snapshot.name} is damaged: ${found.damage.join('; ')}`)
  }
  const code = await report(terminal, found, target)
  if (code === EXIT.done) {
    await terminal.write(`snapshot ${snapshot.name} is intact: ${countsOf(snapshot)}\n`)
  }
  return code
}

/** Reports blobs that are missing or damaged. Returns the exit code. */
async function report(
  terminal: Terminal,
  { missing, missingCount }: Pick<Verified, 'missingCount'> & { missing: readonly string[] },
  place: string,
): Promise<number> {
  if (missingCount === 0) return EXIT.done
  const named = missing.slice(0, NAMED_MAX)
  const more = missingCount - named.length
  terminal.note(
    `cay: ${formatCount(missingCount)} blobs are missing or damaged in ${place}: push them again, or restore ` +
      `another snapshot\n${named.map((digest) => `  ${digest}\n`).join('')}` +
      (more > 0 ? `  and ${formatCount(more)} more\n` : ''),
  )
  return EXIT.failed
}

function countsOf({ info }: NamedSnapshot): string {
  const { repositories, tags, manifests, blobs, bytes } = info
  return (
    `${formatCount(repositories)} repositories, ${formatCount(tags)} tags, ${formatCount(manifests)} manifests, ` +
    `${formatCount(blobs)} blobs (${formatBytes(bytes)})`
  )
}

async function foldersOf(options: Options, load: LoadConfig): Promise<{ data: string; metadata: string }> {
  const { config } = await load(options)
  return { data: resolve(config.data), metadata: resolve(config.metadata ?? config.data) }
}

/** Backups contain secrets, so only this user can read the files that are created. */
function keepPrivate(): void {
  process.umask(0o077)
}

function parseKeep(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new CommandError(`invalid --keep "${text}": expected a whole number from 1`, EXIT.usage)
}

function progressOf(terminal: Terminal): (done: number, total: number) => void {
  let shownAt = terminal.now()
  return (done, total) => {
    const line = `${formatCount(done)} of ${formatCount(total)} blobs`
    if (terminal.hasBar) return terminal.status(line)
    if (terminal.now() - shownAt < PROGRESS_MS_MIN) return
    shownAt = terminal.now()
    terminal.note(line)
  }
}

function endProgress(terminal: Terminal): void {
  if (terminal.hasBar) terminal.status('')
}
