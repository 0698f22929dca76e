import type { AccountServices } from '../../core/accounts/account-services.ts'
import { type Access, type Identity, NOBODY } from '../../domain/access.ts'
import type { Authenticator } from '../../domain/authentication.ts'
import { RegistryError, registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/**
 * How long a session of a pull lives: Docker gets its token once, and then downloads one layer after the other. What it
 * may is looked up at each request all the same.
 */
const SESSION_SECONDS = 3000

const COOKIE = 'cay-v1'
const OWN = { path: '/v1/', httpOnly: true, sameSite: 'strict' } as const

export interface SessionOptions {
  authenticator: Authenticator
  accounts: AccountServices
  access: Access
  addressOf: (request: Request) => string
}

/** Who asks, in the ways of Docker V1: a token or a cookie that was given for one repository, or Basic. */
export class Sessions {
  private readonly options: SessionOptions

  constructor(options: SessionOptions) {
    this.options = options
  }

  /** Somebody without a credential. */
  async anonymous(): Promise<Identity> {
    return await this.options.authenticator.authenticate(null, () => '')
  }

  /**
   * By the `Authorization` header, if it says anything; otherwise by the cookie. One that is over counts as none.
   *
   * @throws RegistryError UNAUTHORIZED for a credential that is wrong
   */
  async authenticate(request: Request): Promise<Identity> {
    const { authenticator, addressOf, access } = this.options
    if (access.isOpen) return NOBODY
    const header = authorizationOf(request)
    if (header !== null) return await authenticator.authenticate(header, () => addressOf(request))
    const cookie = cookieOf(request)
    if (cookie === undefined) return await this.anonymous()
    try {
      return await authenticator.authenticate(`Bearer ${cookie}`, () => addressOf(request))
    } catch (error) {
      if (error instanceof RegistryError && error.status === 401) return await this.anonymous()
      throw error
    }
  }

  /** By a name and a password. Throws UNAUTHORIZED when it is wrong, TOOMANYREQUESTS while guesses are slowed down. */
  async authenticatePassword(request: Request, name: string, password: string): Promise<Identity> {
    const { authenticator, addressOf, access } = this.options
    if (access.isOpen) return NOBODY
    return await authenticator.authenticatePassword(name, password, addressOf(request))
  }

  /**
   * The headers that give a session for pulls from a repository: the token, where it is asked for, and the cookie. None
   * for those who need none, or have one.
   *
   * @param isSecure whether the client came by HTTPS
   */
  async headersFor(
    request: Request,
    identity: Identity,
    repository: RepositoryName,
    isSecure: boolean,
  ): Promise<Record<string, string>> {
    const { registryTokens } = this.options.accounts
    const signed = await registryTokens.issueForPulls(identity, repository, SESSION_SECONDS)
    if (signed === undefined) return {}
    const cookie = new Bun.Cookie(COOKIE, signed, { secure: isSecure, maxAge: SESSION_SECONDS, ...OWN })
    const headers: Record<string, string> = { 'set-cookie': cookie.serialize() }
    if (request.headers.get('x-docker-token')?.toLowerCase() !== 'true') return headers
    const value = `signature=${signed},repository="${repository}",access=read`
    return { ...headers, 'www-authenticate': `Token ${value}`, 'x-docker-token': value }
  }
}

/** The credential as the authenticator reads it; null for none, and for the empty `Token` of a client that got none. */
function authorizationOf(request: Request): string | null {
  const header = request.headers.get('authorization')?.trim() ?? ''
  const [, scheme = '', value = ''] = /^(\S+)\s*(.*)$/.exec(header) ?? []
  if (header === '' || (scheme.toLowerCase() === 'token' && value === '')) return null
  if (scheme.toLowerCase() !== 'token') return header
  const [, signature] = /(?:^|[,\s])signature=([\w.-]{1,4096})(?:,|$)/.exec(value) ?? []
  if (signature !== undefined) return `Bearer ${signature}`
  throw registryError('UNAUTHORIZED', 'the token is not one of this registry')
}

/** The cookie's value; no token of another kind is taken from there. */
function cookieOf(request: Request): string | undefined {
  const value = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(COOKIE)
  return value && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(value) ? value : undefined
}
