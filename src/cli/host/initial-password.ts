import { existsSync, readFileSync } from 'node:fs'
import type { Config } from '../../config/config-schema.ts'
import { initialPasswordPath } from '../../config/initial-password-path.ts'
import { CommandError, EXIT } from '../failure.ts'

/**
 * Prints the generated password of the first account.
 *
 * @throws CommandError if there is none, or if it cannot be read
 */
export function printInitialPassword({ data }: Config): void {
  const path = initialPasswordPath(data)
  if (!existsSync(path)) {
    throw new CommandError(
      `${path} not found: the first start printed the password on its terminal, the password was chosen or ` +
        'changed, or the server has not started yet; to set a new one, run: cay user passwd admin',
      EXIT.absent,
    )
  }
  process.stdout.write(readFileSync(path, 'utf8'))
}
