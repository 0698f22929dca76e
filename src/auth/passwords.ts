import { availableParallelism } from 'node:os'
import PQueue from 'p-queue'
import { registryError, tooManyRequests } from '../oci/error.ts'

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

export interface PasswordsOptions {
  /** Compares a password with a hash. */
  verify?: (password: string, hash: string) => Promise<boolean>
  /** The costs of the bcrypt hashes that accounts have, two digits each. */
  bcryptCosts?: () => readonly string[]
}

/** Hashes and verifies passwords, a bounded number at a time. */
export class Passwords {
  private readonly queue = new PQueue({ concurrency: HASHES_AT_ONCE })
  private readonly options: Required<PasswordsOptions>
  private newAtOnce = 0

  constructor({ verify = Bun.password.verify, bcryptCosts = () => [] }: PasswordsOptions = {}) {
    this.options = { verify, bcryptCosts }
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
