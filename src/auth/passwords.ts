import { availableParallelism } from 'node:os'
import PQueue from 'p-queue'
import { registryError } from '../oci/error.ts'

/** Memory and turns of one argon2id hash: 19 MiB, 2 (OWASP). */
const ARGON2 = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const

/**
 * Hashes that are computed at once, and that may wait: what bounds the memory of a flood of logins, and leaves half of a
 * single processor to everything else.
 */
const HASHES_AT_ONCE = Math.min(2, availableParallelism())
const HASHES_WAITING_MAX = 64

/** The hash of a password that nobody knows, made with the same parameters. */
const ABSENT =
  '$argon2id$v=19$m=19456,t=2,p=1$DbJtKqnLJvjGKJDbaf6cGf82Rnf9nYQad/oe1vMBQJM$dLRLV9sYm/VjUFrRRVhOz+MsxbEI/G/dpjAA7Id/1QQ'

const PASSWORD_CHARACTERS_MIN = 8
const PASSWORD_BYTES_MAX = 72

/** The htpasswd kinds of bcrypt; a cost of 2^14 or more would hold others up. */
const BCRYPT = /^\$2[aby]\$(?:0[4-9]|1[0-3])\$[./A-Za-z0-9]{53}$/

/** A bcrypt hash of the same cost that no password has, behind `$2b$<cost>$`. */
const ABSENT_BCRYPT = 'abcdefghijklmnopqrstuuPLnCxFVIGIBLqHRgCYHsKx7m3wXiZ5e'

export interface PasswordsOptions {
  /** Compares a password with a hash; what it costs bounds how many can be tried. */
  verify?: (password: string, hash: string) => Promise<boolean>
  /** The costs of the bcrypt hashes that accounts have, two digits each. */
  bcryptCosts?: () => readonly string[]
}

/** Hashes and verifies passwords, a bounded number at once. */
export class Passwords {
  private readonly queue = new PQueue({ concurrency: HASHES_AT_ONCE })
  private readonly options: Required<PasswordsOptions>

  constructor({ verify = Bun.password.verify, bcryptCosts = () => [] }: PasswordsOptions = {}) {
    this.options = { verify, bcryptCosts }
  }

  /** The hash of a new password. Throws REQUEST_INVALID when it is too short or too long. */
  async hashNew(password: string): Promise<string> {
    const bytes = new TextEncoder().encode(password).length
    if (password.length < PASSWORD_CHARACTERS_MIN || bytes > PASSWORD_BYTES_MAX) {
      throw registryError(
        'REQUEST_INVALID',
        `a password has at least ${PASSWORD_CHARACTERS_MIN} characters, and at most ${PASSWORD_BYTES_MAX} bytes`,
      )
    }
    return await this.queue.add(() => Bun.password.hash(password, ARGON2))
  }

  /**
   * Whether the password is right. In any case it takes one argon2id, and one bcrypt of each cost that some account has:
   * neither without a hash, nor with one of another kind it takes another time, so that time does not tell who exists.
   * Throws TOOMANYREQUESTS when too many wait.
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (this.queue.size >= HASHES_WAITING_MAX) throw tooMany()
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

  /** The hash of an htpasswd file, for the account; throws REQUEST_INVALID that names what it is instead of bcrypt. */
  checkImported(account: string, hash: string): string {
    if (BCRYPT.test(hash)) return hash
    throw registryError(
      'REQUEST_INVALID',
      `the password of ${account} is ${kindOf(hash)}; only bcrypt is taken, as of htpasswd -B`,
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

function tooMany() {
  return registryError('TOOMANYREQUESTS', 'too many logins at once: try again in a moment', {
    headers: { 'retry-after': '2' },
  })
}
