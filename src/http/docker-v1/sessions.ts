import type { AccountServices } from '../../core/accounts/account-services.ts'
import { type Access, type Identity, NOBODY } from '../../domain/access/access.ts'
import type { Authenticator } from '../../domain/access/authentication.ts'
import { RegistryError, registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/**
 * The lifetime of a pull session. Docker gets its token once and then downloads one layer after the other. Access is
 * still checked on each request.
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

/** Authenticates V1 requests: by a token or cookie for one repository, or by Basic. */
export class Sessions {
  private readonly options: SessionOptions

  constructor(options: SessionOptions) {
    this.options = options
  }

  /** Returns the identity of a caller without a credential. */
  async anonymous(): Promise<Identity> {
    return await this.options.authenticator.authenticate(null, () => '')
  }

  /**
   * Authenticates by the `Authorization` header or, without one, by the cookie. An expired cookie counts as none.
   *
   * @throws RegistryError UNAUTHORIZED for an invalid credential
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

  /** Authenticates by name and password. Throws UNAUTHORIZED, or TOOMANYREQUESTS if failed logins are rate-limited. */
  async authenticatePassword(request: Request, name: string, password: string): Promise<Identity> {
    const { authenticator, addressOf, access } = this.options
    if (access.isOpen) return NOBODY
    return await authenticator.authenticatePassword(name, password, addressOf(request))
  }

  /**
   * Returns the headers that start a pull session for a repository: the cookie, and the token if requested. Returns none
   * if the caller has a session or needs none.
   *
   * @param isSecure whether the client uses HTTPS
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

/** Returns the credential as a header for the authenticator; null without one, or for an empty `Token`. */
function authorizationOf(request: Request): string | null {
  const header = request.headers.get('authorization')?.trim() ?? ''
  const [, scheme = '', value = ''] = /^(\S+)\s*(.*)$/.exec(header) ?? []
  if (header === '' || (scheme.toLowerCase() === 'token' && value === '')) return null
  if (scheme.toLowerCase() !== 'token') return header
  const [, signature] = /(?:^|[,\s])signature=([\w.-]{1,4096})(?:,|$)/.exec(value) ?? []
  if (signature !== undefined) return `Bearer ${signature}`
  throw registryError('UNAUTHORIZED', 'invalid token: it was not issued by this registry')
}

/** Returns the cookie's value if it has the form of a session token; other tokens are not accepted there. */
function cookieOf(request: Request): string | undefined {
  const value = new Bun.CookieMap(request.headers.get('cookie') ?? '').get(COOKIE)
  return value && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(value) ? value : undefined
}
