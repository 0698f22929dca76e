import { resolve } from 'node:path'
import type { LoadConfig } from '../cli/connection.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { formatBytes, formatCount, openProgress, openTerminal, type Terminal } from '../cli/output.ts'
import { plural } from '../cli/verb.ts'
import type { Config } from '../config/schema.ts'
import { requireRegistry } from '../data-folder/data-folder.ts'
import { backUp } from './backup.ts'
import { type NamedSnapshot, readSnapshot, snapshotNames } from './folder.ts'
import { findSnapshot, restoreBackup, type Verified, verifySnapshot } from './restore.ts'

type Options = Readonly<Record<string, string>>

/** How many missing blobs are named in the output. */
const NAMED_MAX = 20

/** `cay backup`: makes a snapshot, or verifies or lists those of a backup folder. Returns the exit code. */
export async function backup(folder: string, options: Options, load: LoadConfig): Promise<number> {
  const terminal = openTerminal(process.env)
  const { config } = await load(options)
  if (options.list) return await list(resolve(folder), terminal)
  if (options.verify) return await verify(folder, terminal)
  const keep = options.keep === undefined ? undefined : parseKeep(options.keep)
  requireRegistry(resolve(config.metadata ?? config.data))
  // Backups contain secrets, so only this user can read the files that are created.
  process.umask(0o077)
  const { progress, end } = openProgress(terminal, lineOf)
  const withCache = options.withCache !== undefined
  const question = { ...foldersOf(config), target: resolve(folder), at: Date.now(), keep, withCache }
  const made = await backUp({ ...question, progress }).finally(end)
  const { snapshot, copied, copiedBytes, removed } = made
  await terminal.write(
    `made snapshot ${snapshot.name} of ${countsOf(snapshot)}\n` +
      `copied ${plural(copied, 'new blob')}, ${formatBytes(copiedBytes)}\n` +
      removed.map((name) => `deleted snapshot ${name}\n`).join('') +
      'It contains the accounts and the signing keys: keep it private.\n',
  )
  return await report(terminal, snapshot.info, config.data)
}

/** `cay restore`: restores a snapshot into an empty data folder. Returns the exit code. */
export async function restore(folder: string, options: Options, load: LoadConfig): Promise<number> {
  const terminal = openTerminal(process.env)
  const { config } = await load(options)
  // Backups contain secrets, so only this user can read the files that are created.
  process.umask(0o077)
  const { progress, end } = openProgress(terminal, lineOf)
  const question = { ...foldersOf(config), source: resolve(folder), name: options.snapshot }
  const restored = await restoreBackup({ ...question, progress }).finally(end)
  await terminal.write(
    `restored snapshot ${restored.snapshot.name} of ${countsOf(restored.snapshot)} to ${config.data}\n` +
      'The accounts, tokens and signing keys are those of the snapshot. Start cay to use it.\n',
  )
  return await report(terminal, restored, folder)
}

function foldersOf({ data, metadata = data }: Config) {
  return { data: resolve(data), metadata: resolve(metadata) }
}

async function list(target: string, terminal: Terminal): Promise<number> {
  const names = await snapshotNames(target)
  const snapshots = await Promise.all(names.map((name) => readSnapshot(target, name)))
  if (snapshots.length === 0) terminal.note('There are no snapshots.')
  for (const one of snapshots)
    await terminal.write(`${one.name}  cay ${one.info.version}  ${countsOf(one)}\n`)
  return EXIT.done
}

async function verify(folder: string, terminal: Terminal): Promise<number> {
  const snapshot = await findSnapshot(resolve(folder), undefined)
  const { progress, end } = openProgress(terminal, lineOf)
  const found = await verifySnapshot(resolve(folder), snapshot, { progress }).finally(end)
  const { name } = snapshot
  if (found.damage.length > 0) {
    throw new CommandError(`the database of snapshot ${name} is damaged: ${found.damage.join('; ')}`)
  }
  const code = await report(terminal, found, folder)
  if (code === EXIT.done) await terminal.write(`snapshot ${name} is intact: ${countsOf(snapshot)}\n`)
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
    `cay: ${plural(missingCount, 'blob')} missing or damaged in ${place}: push again, or restore ` +
      `another snapshot\n${named.map((digest) => `  ${digest}\n`).join('')}` +
      (more > 0 ? `  and ${formatCount(more)} more\n` : ''),
  )
  return EXIT.failed
}

function countsOf({ info }: NamedSnapshot): string {
  const { repositories, tags, manifests, blobs, bytes } = info
  return (
    `${plural(repositories, 'repository')}, ${plural(tags, 'tag')}, ${plural(manifests, 'manifest')}, ` +
    `${plural(blobs, 'blob')} (${formatBytes(bytes)})`
  )
}

function parseKeep(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new CommandError(`invalid --keep "${text}": expected a whole number from 1`, EXIT.usage)
}

function lineOf(done: number, total: number): string {
  return `${formatCount(done)} of ${formatCount(total)} blobs`
}
