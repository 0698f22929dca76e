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

/** The htpasswd kinds of bcrypt. */
const BCRYPT = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/

/** Hashes and verifies passwords, a bounded number at once. */
export class Passwords {
  private readonly queue = new PQueue({ concurrency: HASHES_AT_ONCE })

  /** Throws DENIED (400) for a password that is too short or too long. */
  async hashNew(password: string): Promise<string> {
    const bytes = new TextEncoder().encode(password).length
    if (password.length < PASSWORD_CHARACTERS_MIN || bytes > PASSWORD_BYTES_MAX) {
      throw registryError(
        'DENIED',
        `a password has at least ${PASSWORD_CHARACTERS_MIN} characters, and at most ${PASSWORD_BYTES_MAX} bytes`,
        { status: 400 },
      )
    }
    return await this.hash(password)
  }

  /**
   * Whether the password is right. Without a hash it takes as long, and is wrong: time does not tell who exists.
   * Throws TOOMANYREQUESTS when too many wait.
   */
  async verify(password: string, hash: string | undefined): Promise<boolean> {
    if (this.queue.size >= HASHES_WAITING_MAX) throw tooMany()
    const isRight = await this.queue.add(() => Bun.password.verify(password, hash ?? ABSENT))
    return isRight && hash !== undefined
  }

  private hash(password: string): Promise<string> {
    return this.queue.add(() => Bun.password.hash(password, ARGON2))
  }
}

/** Checks one hash of an htpasswd file; throws DENIED (400) that names what it is instead of bcrypt. */
export function checkHtpasswdHash(name: string, hash: string): void {
  if (BCRYPT.test(hash)) return
  const kind = hash.startsWith('$apr1$')
    ? 'MD5 (apr1)'
    : hash.startsWith('{SHA}')
      ? 'SHA-1'
      : 'crypt or plain text'
  throw registryError('DENIED', `the password of ${name} is ${kind}; only bcrypt is taken: htpasswd -B`, {
    status: 400,
  })
}

function tooMany() {
  return registryError('TOOMANYREQUESTS', 'too many logins at once: try again in a moment', {
    headers: { 'retry-after': '2' },
  })
}
