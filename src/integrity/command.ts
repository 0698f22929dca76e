import { resolve } from 'node:path'
import type { LoadConfig } from '../cli/connection.ts'
import { EXIT, type ExitCode } from '../cli/failure.ts'
import { columns, formatCount, formatText, openTerminal } from '../cli/output.ts'
import { lists, type Noun, plural } from '../cli/verb.ts'
import { requireRegistry } from '../data-folder/data-folder.ts'
import type { ItemOf } from '../http/operation.ts'
import type { FsckReport } from './fsck.ts'
import type { IntegrityRoutes } from './models.ts'

/** `cay damage` */
export const damage: Noun = {
  summary: 'List content whose bytes are damaged or missing',
  byDefault: 'list',
  verbs: {
    list: lists(
      'List damaged content, and the repositories and tags that need it',
      '/damage',
      'There is no damaged content.',
      columns('digest, kind, size: bytes, foundAt, neededBy | users', { users: formatUsers }),
    ),
  },
}

function formatUsers(value: unknown): string {
  return (value as ItemOf<IntegrityRoutes, 'damage'>['neededBy'])
    .map(({ repository, tag }) => (tag === undefined ? repository : `${repository}:${tag}`))
    .join(', ')
}

/** `cay fsck`: checks a data folder, and repairs it if asked to. Returns the exit code. */
export async function fsckFolder(
  options: Readonly<Record<string, string>>,
  load: LoadConfig,
): Promise<ExitCode> {
  const { config } = await load(options)
  const terminal = openTerminal(process.env)
  const data = resolve(config.data)
  const metadata = resolve(config.metadata ?? data)
  requireRegistry(metadata)
  const { fsck } = await import('./fsck.ts')
  const report = await fsck({ data, metadata, repair: options.repair !== undefined })
  for (const line of linesOf(report)) await terminal.write(`${line}\n`)
  return exitOf(report)
}

function linesOf(report: FsckReport): string[] {
  if (report.damage.length > 0) {
    return [
      'The database is damaged:',
      ...report.damage.map((line) => `  ${formatText(line)}`),
      'Restore the newest backup into a new folder: cay restore BACKUP --data FOLDER',
    ]
  }
  const { inconsistencies, isRepaired, missing, missingCount, quarantined, orphans } = report
  const lines = inconsistencies.flatMap(({ what, count, examples, isRepairable }) => [
    `${formatCount(count)}: ${what}${isRepairable ? (isRepaired ? ' (repaired)' : ' (--repair repairs this)') : ''}`,
    ...examples.map((one) => `  ${formatText(one)}`),
  ])
  if (missingCount > 0) {
    lines.push(
      `${formatCount(missingCount)}: blobs are missing or have the wrong size; push them again, or restore a backup`,
    )
    lines.push(...missing.map((digest) => `  ${digest}`))
  }
  if (quarantined > 0)
    lines.push(`${formatCount(quarantined)}: blobs are in quarantine; cay damage lists them`)
  if (orphans > 0)
    lines.push(`${formatCount(orphans)}: files are not in the database; cay job start scan removes old ones`)
  return lines.length === 0 ? [`The data folder is consistent: ${plural(report.blobs, 'blob')}.`] : lines
}

/** Orphans are normal after a crash. Everything else that remains is a failure. */
function exitOf({ damage, inconsistencies, isRepaired, missingCount, quarantined }: FsckReport): ExitCode {
  const isLost = inconsistencies.some(({ isRepairable }) => !isRepairable)
  if (damage.length > 0 || missingCount > 0 || quarantined > 0 || isLost) return EXIT.damaged
  return inconsistencies.length > 0 && !isRepaired ? EXIT.failed : EXIT.done
}
