import { existsSync, readFileSync } from 'node:fs'
import type { Config } from '../config/config-schema.ts'
import { initialPasswordPath } from '../config/initial-password-path.ts'
import { CommandError, EXIT } from './failure.ts'

/**
 * Prints the generated password of the first account.
 *
 * @throws CommandError if there is none, or if it cannot be read
 */
export function printInitialPassword({ data }: Config): void {
  const path = initialPasswordPath(data)
  if (!existsSync(path)) {
    throw new CommandError(
      `${path} not found: the server has not started yet, the password was changed, or it was chosen with ` +
        'CAY_ADMIN_PASSWORD; to set a new one, run: cay user passwd admin',
      EXIT.absent,
    )
  }
  process.stdout.write(readFileSync(path, 'utf8'))
}
