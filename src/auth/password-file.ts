import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The first account of an installation. */
export const FIRST_ADMIN = 'admin'

/** Where the first account's password waits for its owner, when there is no terminal to show it on. */
export class PasswordFile {
  private readonly path: string

  constructor(data: string) {
    this.path = join(data, 'initial-admin-password')
  }

  /** Writes it for the owner's eyes only; answers where. */
  write(password: string): string {
    writeFileSync(this.path, `${password}\n`, { mode: 0o600 })
    return this.path
  }

  /** Removes it when it is the password of this account, which is no longer true. */
  removeFor(account: string): void {
    if (account === FIRST_ADMIN) rmSync(this.path, { force: true })
  }
}
