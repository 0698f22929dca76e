import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The first account of an installation. */
export const FIRST_ADMIN = 'admin'

/** The file that holds the first account's password when there is no terminal to show it on. */
export class PasswordFile {
  private readonly path: string

  constructor(data: string) {
    this.path = join(data, 'initial-admin-password')
  }

  /** Writes the password to a file that only its owner can read. Returns the path. */
  write(password: string): string {
    writeFileSync(this.path, `${password}\n`, { mode: 0o600 })
    return this.path
  }

  /** Removes the file if it holds this account's password, which has changed. */
  removeFor(account: string): void {
    if (account === FIRST_ADMIN) rmSync(this.path, { force: true })
  }
}
