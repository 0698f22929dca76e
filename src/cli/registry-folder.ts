import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { CommandError, EXIT } from './failure.ts'

/** @throws CommandError if a folder has no registry */
export function requireRegistry(metadata: string): void {
  if (existsSync(join(metadata, 'cay.db'))) return
  throw new CommandError(
    `${metadata} has no registry: check --data, or create one with cay serve`,
    EXIT.absent,
  )
}
