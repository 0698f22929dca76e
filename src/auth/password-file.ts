import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { initialPasswordPath } from '../config/initial-password-path.ts'

/** The first account of an installation. */
export const FIRST_ADMIN = 'admin'

/** The file that holds the first account's password when there is no terminal to show it on. */
export class PasswordFile {
  private readonly path: string

  constructor(data: string) {
    this.path = initialPasswordPath(data)
  }

  /** Writes the password to a file that only its owner can read. Durable when it returns. Returns the path. */
  write(password: string): string {
    rmSync(this.path, { force: true })
    const file = openSync(this.path, 'wx', 0o600)
    try {
      writeSync(file, `${password}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    const folder = openSync(dirname(this.path), 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
    return this.path
  }

  /** Removes the file if it holds this account's password, which has changed. */
  removeFor(account: string): void {
    if (account === FIRST_ADMIN) rmSync(this.path, { force: true })
  }
}
