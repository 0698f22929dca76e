import { createHash, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname } from 'node:path'
import PQueue from 'p-queue'
import type { Logger } from 'pino'
import { TOKEN_PREFIX } from '../access/access.ts'
import { ConfigError, initialPasswordPath } from '../config/values.ts'
import type { Metadata } from '../database/metadata.ts'
import { type RegistryError, registryError, tooManyRequests } from '../oci/error.ts'

/** The cost of one argon2id hash: 19 MiB and 2 iterations (OWASP). */
const ARGON2 = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const

/**
 * How many hashes are computed at once, and how many may wait. This bounds the memory of a flood of logins and leaves
 * half of a single processor to other work.
 */
const HASHES_AT_ONCE = Math.min(2, availableParallelism())
const HASHES_WAITING_MAX = 64

/** How many of these may be of new passwords, so that one user who sets passwords in a loop does not lock out logins. */
const NEW_AT_ONCE_MAX = 16

/** The hash of a password that nobody knows, with the same parameters. */
const ABSENT =
  '$argon2id$v=19$m=19456,t=2,p=1$DbJtKqnLJvjGKJDbaf6cGf82Rnf9nYQad/oe1vMBQJM$dLRLV9sYm/VjUFrRRVhOz+MsxbEI/G/dpjAA7Id/1QQ'

const PASSWORD_CHARACTERS_MIN = 8
const PASSWORD_BYTES_MAX = 72

/** The bcrypt forms that htpasswd writes. A cost of 2^14 or more would delay other logins. */
const BCRYPT = /^\$2[aby]\$(?:0[4-9]|1[0-3])\$[./A-Za-z0-9]{53}$/

/** The part after `$2b$<cost>$` of a bcrypt hash that no password matches. */
const ABSENT_BCRYPT = 'abcdefghijklmnopqrstuuPLnCxFVIGIBLqHRgCYHsKx7m3wXiZ5e'

interface PasswordsOptions {
  /** Compares a password with a hash. */
  verify: (password: string, hash: string) => Promise<boolean>
  /** The costs of the bcrypt hashes that accounts have, two digits each. */
  bcryptCosts: () => readonly string[]
}

/** Hashes and verifies passwords, a bounded number at a time. */
export class Passwords {
  private readonly queue = new PQueue({ concurrency: HASHES_AT_ONCE })
  private readonly options: PasswordsOptions
  private newAtOnce = 0

  constructor(options: Partial<PasswordsOptions> = {}) {
    this.options = { verify: Bun.password.verify, bcryptCosts: () => [], ...options }
  }

  /** Hashes a new password. Throws REQUEST_INVALID when it is too short or too long, TOOMANYREQUESTS for too many. */
  async hashNew(password: string): Promise<string> {
    const bytes = new TextEncoder().encode(password).length
    if (password.length < PASSWORD_CHARACTERS_MIN || bytes > PASSWORD_BYTES_MAX) {
      throw registryError(
        'REQUEST_INVALID',
        `a password must have at least ${PASSWORD_CHARACTERS_MIN} characters and at most ${PASSWORD_BYTES_MAX} bytes`,
      )
    }
    if (this.newAtOnce >= NEW_AT_ONCE_MAX) throw tooMany('new passwords')
    this.newAtOnce++
    try {
      return await this.queue.add(() => Bun.password.hash(password, ARGON2))
    } finally {
      this.newAtOnce--
    }
  }

  /**
   * Reports whether the password is right. It always costs one argon2id hash and one bcrypt hash of each cost that some
   * account has, whatever kind of hash the account has, or if it has none. So the time does not reveal who exists.
   * Throws TOOMANYREQUESTS when too many logins wait.
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (this.queue.size >= HASHES_WAITING_MAX) throw tooMany('logins')
    return await this.queue.add(async () => {
      const { verify, bcryptCosts } = this.options
      const isArgon = hash?.startsWith('$argon2') ?? false
      const isRight = await verify(password, isArgon && hash ? hash : ABSENT)
      const costs = new Set(bcryptCosts())
      if (hash !== undefined && !isArgon) costs.add(costOf(hash))
      let isRightBcrypt = false
      for (const cost of costs) {
        const isOwn = hash !== undefined && !isArgon && costOf(hash) === cost
        const isSame = await verify(password, isOwn ? hash : `$2b$${cost}$${ABSENT_BCRYPT}`)
        if (isOwn) isRightBcrypt = isSame
      }
      return isArgon ? isRight : isRightBcrypt
    })
  }

  /** Checks a hash from an htpasswd file. Throws REQUEST_INVALID, naming its kind, when it is not bcrypt. */
  checkImported(account: string, hash: string): string {
    if (BCRYPT.test(hash)) return hash
    throw registryError(
      'REQUEST_INVALID',
      `the password hash of ${account} is ${kindOf(hash)}: only bcrypt is accepted, as made by htpasswd -B`,
    )
  }
}

function costOf(bcrypt: string): string {
  return bcrypt.slice(4, 6)
}

function kindOf(hash: string): string {
  if (hash.startsWith('$apr1$')) return 'MD5 (apr1)'
  if (hash.startsWith('{SHA}')) return 'SHA-1'
  if (hash.startsWith('$5$')) return 'SHA-256 (crypt)'
  if (hash.startsWith('$6$')) return 'SHA-512 (crypt)'
  return hash.startsWith('$argon2') ? 'argon2' : 'crypt or plain text'
}

function tooMany(what: string) {
  return tooManyRequests(`too many ${what} at once: try again in a moment`, 2)
}

/** 256 random bits. */
const SECRET_BYTES = 32

/** Generates a secret, to be shown once, and the hash to store. */
export function newSecret(): { secret: string; hash: Buffer } {
  const secret = TOKEN_PREFIX + randomBytes(SECRET_BYTES).toString('base64url')
  return { secret, hash: hashSecret(secret) }
}

/** Hashes a secret with SHA-256, which is enough for 256 random bits and fast enough for each request. */
export function hashSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

/** Generates a password that a person can type: 20 characters of 5 bits. */
function newPassword(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789'
  return Array.from(randomBytes(20), (byte) => letters[byte & 31]).join('')
}

/** The first account of an installation. */
const FIRST_ADMIN = 'admin'

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

/** The caller recorded when the server itself creates an account. */
const SERVER = { account: undefined, credential: undefined, address: 'server', requestId: 'start' }

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
  services: {
    metadata: Metadata
    auth: { passwords: Passwords }
    passwordFile: PasswordFile
    now: () => number
  },
  { adminPassword, adminPasswordFile: path, hasTerminal = false }: FirstPassword,
  log: Logger,
): Promise<void> {
  const { metadata, auth, passwordFile, now } = services
  if (metadata.accounts.list('user', '', 1).length > 0) return
  const preset = adminPassword ?? (path === undefined ? undefined : await readPreset(path))
  const password = preset ?? newPassword()
  const passwordHash = await auth.passwords.hashNew(password).catch((error: RegistryError) => {
    throw new ConfigError(`CAY_ADMIN_PASSWORD cannot be used: ${error.entries[0]?.message}`)
  })
  if (preset === undefined) {
    const show = 'cay initial-password'
    if (hasTerminal) print(password)
    else
      log.info(
        { account: FIRST_ADMIN, passwordFile: passwordFile.write(password), show },
        'created the first account',
      )
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

async function readPreset(path: string): Promise<string> {
  try {
    return (await Bun.file(path).text()).trimEnd()
  } catch (error) {
    throw new ConfigError(`cannot read CAY_ADMIN_PASSWORD_FILE ${path}: ${(error as Error).message}`)
  }
}
