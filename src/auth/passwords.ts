import PQueue from 'p-queue'
import { registryError } from '../oci/error.ts'

/** Memory and turns of one argon2id hash: 19 MiB, 2 (OWASP). */
const ARGON2 = { algorithm: 'argon2id', memoryCost: 19_456, timeCost: 2 } as const

/** Hashes that are computed at once, and that may wait: what bounds the memory of a flood of logins. */
const HASHES_AT_ONCE = 2
const HASHES_WAITING_MAX = 64

/** The hash of a password that nobody knows, made with the same parameters. */
const ABSENT =
  '$argon2id$v=19$m=19456,t=2,p=1$DbJtKqnLJvjGKJDbaf6cGf82Rnf9nYQad/oe1vMBQJM$dLRLV9sYm/VjUFrRRVhOz+MsxbEI/G/dpjAA7Id/1QQ'

const PASSWORD_CHARACTERS_MIN = 8
const PASSWORD_BYTES_MAX = 72

/** The htpasswd kinds of bcrypt; a cost of 2^14 or more would hold others up. */
const BCRYPT = /^\$2[aby]\$(?:0[4-9]|1[0-3])\$[./A-Za-z0-9]{53}$/

export interface PasswordsOptions {
  /** Compares a password with a hash; what it costs bounds how many can be tried. */
  verify: (password: string, hash: string) => Promise<boolean>
}

/** Hashes and verifies passwords, a bounded number at once. */
export class Passwords {
  private readonly queue = new PQueue({ concurrency: HASHES_AT_ONCE })
  private readonly options: PasswordsOptions

  constructor(options: PasswordsOptions = { verify: Bun.password.verify }) {
    this.options = options
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
   * Whether the password is right. It takes one argon2id in any case, with no hash, or another one, as well: time does
   * not tell who exists. Throws TOOMANYREQUESTS when too many wait.
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (this.queue.size >= HASHES_WAITING_MAX) throw tooMany()
    return await this.queue.add(async () => {
      const isArgon = hash?.startsWith('$argon2') ?? false
      const isRight = await this.options.verify(password, isArgon && hash ? hash : ABSENT)
      if (hash === undefined || isArgon) return isRight && isArgon
      return await this.options.verify(password, hash)
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
