import type { Logger } from 'pino'
import { ConfigError } from '../config/config-error.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { RegistryError } from '../oci/error.ts'
import { FIRST_ADMIN, type PasswordFile } from './password-file.ts'
import type { Passwords } from './passwords.ts'
import { newPassword } from './secrets.ts'

/** The caller recorded when the server itself creates an account. */
const SERVER = { account: undefined, credential: undefined, address: 'server', requestId: 'start' }

/** What is needed to create the first account. */
export interface FirstAdminSources {
  metadata: Metadata
  auth: { passwords: Passwords }
  passwordFile: PasswordFile
  now: () => number
}

/** The first account's password, or the file that has it. Without either, one is generated. */
export interface FirstPassword {
  adminPassword?: string | undefined
  adminPasswordFile?: string | undefined
  /** Whether a generated password is printed, because standard output is a terminal and not a log. */
  hasTerminal?: boolean
}

/**
 * Creates the first account when there is none. A generated password is shown on the terminal, or written to a file
 * that only the owner can read. This happens before the account is created, so that neither a crash nor a power failure
 * leaves an account whose password nobody knows.
 */
export async function makeFirstAdmin(
  { metadata, auth, passwordFile, now }: FirstAdminSources,
  { adminPassword, adminPasswordFile: path, hasTerminal = false }: FirstPassword,
  log: Logger,
): Promise<void> {
  if (metadata.accounts.list('user', '', 1).length > 0) return
  const preset = adminPassword ?? (path === undefined ? undefined : await readPreset(path))
  const password = preset ?? newPassword()
  const passwordHash = await auth.passwords.hashNew(password).catch((error: RegistryError) => {
    throw new ConfigError(`CAY_ADMIN_PASSWORD cannot be used: ${error.entries[0]?.message}`)
  })
  if (preset === undefined) {
    if (hasTerminal) print(password)
    else logFile(passwordFile.write(password), log)
  }
  const account = { name: FIRST_ADMIN, kind: 'user', passwordHash, isAdmin: true } as const
  await metadata.write('putAccount', { ...account, caller: SERVER, at: now() })
}

function print(password: string): void {
  process.stdout.write(
    `\n  The first account is ${FIRST_ADMIN}, with the password ${password}\n` +
      `  It is not shown again. To choose another: cay user passwd ${FIRST_ADMIN}\n\n`,
  )
}

function logFile(passwordFile: string, log: Logger): void {
  const show = 'cay initial-password'
  log.info({ account: FIRST_ADMIN, passwordFile, show }, 'created the first account')
}

async function readPreset(path: string): Promise<string> {
  try {
    return (await Bun.file(path).text()).trimEnd()
  } catch (error) {
    throw new ConfigError(`cannot read CAY_ADMIN_PASSWORD_FILE ${path}: ${(error as Error).message}`)
  }
}
