import { LRUCache } from 'lru-cache'
import type { Identity, TokenScope } from '../domain/access.ts'
import { TOKEN_PREFIX } from '../domain/authentication.ts'
import { networkOf } from '../domain/client-network.ts'
import type { CredentialRow } from '../metadata/accounts/credentials.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { registryError } from '../oci/error.ts'
import type { Attempts } from './attempts.ts'
import type { Identities } from './identities.ts'
import type { Notices } from './notices.ts'
import type { Passwords } from './passwords.ts'
import { hashSecret } from './secrets.ts'
import type { SignedTokens, TokenAccess } from './signed-tokens.ts'

/** What a credential proved is remembered so long, for so many, and for headers of so many characters together. */
const REMEMBERED_SECONDS = 60
const REMEMBERED_MAX = 10_000
const REMEMBERED_CHARACTERS_MAX = 16 * 1024 * 1024

/** Where an account signs in is written down again after so long. */
const ADDRESS_RENEWED_MILLISECONDS = 86_400_000

export interface AuthenticatorOptions {
  metadata: Metadata
  identities: Identities
  passwords: Passwords
  attempts: Attempts
  notices: Notices
  tokens: SignedTokens
  /** Milliseconds since 1970. */
  now: () => number
  /** Told of each password that was tried; what is remembered is not tried again. */
  onLogin: (isRight: boolean) => void
}

interface Proved {
  identity: Identity
  /** When it is to be proved anew, in milliseconds since 1970. */
  until: number
}

/** How a secret is used: as which kind of credential, with which name, and from where. */
interface SecretUse {
  kind: CredentialRow['kind']
  name?: string
  address: string
}

interface Proving {
  identity: Promise<Identity>
  /** The ids of the accounts that have changed meanwhile. */
  changed: Set<number>
}

/** Finds out who asks: by Basic with a password or a token, by a Bearer token of either kind, or nobody. */
export class Authenticator {
  private readonly options: AuthenticatorOptions
  private readonly remembered = new LRUCache<string, Proved>({
    max: REMEMBERED_MAX,
    maxSize: REMEMBERED_CHARACTERS_MAX,
    sizeCalculation: (_, key) => key.length,
  })
  /** What is being proved now, so that many requests with one password cost one hash. */
  private readonly proving = new Map<string, Proving>()
  private readonly used = new Map<string, number>()

  constructor(options: AuthenticatorOptions) {
    this.options = options
    options.metadata.onStale('accounts', ({ accounts }) => this.forget(accounts))
    options.metadata.onStale('signing-keys', () => this.forgetSigned())
  }

  /**
   * The identity that an Authorization header proves; without one, anonymous.
   *
   * @param address where the request comes from
   * @throws RegistryError UNAUTHORIZED when the credential is wrong, TOOMANYREQUESTS while guesses are slowed down
   */
  authenticate(header: string | null, address: () => string): Identity | Promise<Identity> {
    if (header === null || header === '') return this.options.identities.anonymous()
    // Passwords are not kept in memory, not even here.
    const key = header.startsWith('Bearer ') ? header : hashSecret(header).toString('base64')
    const known = this.remembered.get(key)
    if (known && known.until > this.options.now()) return known.identity
    const proving = this.proving.get(key)
    if (proving) return proving.identity
    const changed = new Set<number>()
    const identity = this.proveOnce(key, header, address(), changed)
    this.proving.set(key, { identity, changed })
    return identity
  }

  /** The identity behind a refresh token. */
  async authenticateRefresh(secret: string, address: string): Promise<Identity> {
    return this.proveSecret(secret, { kind: 'refresh', address }).identity
  }

  /** The identity of a browser's session, and when it ends; undefined when it has ended. */
  findSession(secret: string): { identity: Identity; expiresAt: number } | undefined {
    const { metadata, identities, now } = this.options
    const row = metadata.credentials.findByHash(hashSecret(secret))
    const expiresAt = row?.expiresAt ?? 0
    if (row?.kind !== 'session' || expiresAt <= now()) return undefined
    const identity = identities.find(row.accountId, row)
    return identity && { identity, expiresAt }
  }

  /** The identity of a name with a password, or with a token as password. */
  async authenticatePassword(name: string, password: string, address: string): Promise<Identity> {
    if (name.includes(':')) throw wrong('a name has no colon')
    const basic = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
    return await this.authenticate(basic, () => address)
  }

  /** Writes down when tokens were last used, for those that were since the last time. */
  async noteUse(): Promise<void> {
    const used = Array.from(this.used, ([id, at]) => ({ id, at }))
    this.used.clear()
    if (used.length > 0) await this.options.metadata.write('touchCredentials', { used })
  }

  /** @param changed accounts that have changed since this began: what was proved of them is not remembered */
  private async proveOnce(
    key: string,
    header: string,
    address: string,
    changed: ReadonlySet<number>,
  ): Promise<Identity> {
    try {
      const proved = await this.prove(header, address)
      const { accountId } = proved.identity
      if (accountId === undefined || !changed.has(accountId)) this.remembered.set(key, proved)
      return proved.identity
    } finally {
      this.proving.delete(key)
    }
  }

  /** Forgets what was proved of accounts that have changed, and what is being proved of them will not be remembered. */
  private forget(accounts: readonly number[]): void {
    const changed = new Set<number | undefined>(accounts)
    for (const [key, { identity }] of this.remembered) {
      if (changed.has(identity.accountId)) this.remembered.delete(key)
    }
    for (const proving of this.proving.values()) for (const id of accounts) proving.changed.add(id)
  }

  /** Forgets what signed tokens proved: one whose key has ended is looked at anew, and refused. */
  private forgetSigned(): void {
    for (const [key, { identity }] of this.remembered) {
      if (identity.token !== undefined) this.remembered.delete(key)
    }
  }

  private async prove(header: string, address: string): Promise<Proved> {
    const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(header) ?? []
    switch (scheme.toLowerCase()) {
      case 'basic': {
        const text = Buffer.from(value, 'base64').toString()
        const colon = text.indexOf(':')
        if (colon < 0) throw wrong('the Authorization header is not Basic with a name and a password')
        return await this.provePassword(text.slice(0, colon), text.slice(colon + 1), address)
      }
      case 'bearer':
        if (value.startsWith(TOKEN_PREFIX)) return this.proveSecret(value, { kind: 'token', address })
        return await this.proveSigned(value)
      default:
        throw wrong('the Authorization header is neither Basic nor Bearer')
    }
  }

  private async provePassword(name: string, password: string, address: string): Promise<Proved> {
    if (password.startsWith(TOKEN_PREFIX)) return this.proveSecret(password, { kind: 'token', name, address })
    const { metadata, attempts, passwords, identities } = this.options
    const row = metadata.accounts.find(name)
    const lastHere = row && metadata.addresses.lastAt(row.id, networkOf(address))
    const attempt = attempts.begin({ account: name, address, isKnownAddress: lastHere !== undefined })
    const isRight = await passwords.verify(password, row?.passwordHash ?? undefined).catch((error) => {
      attempt.abandoned()
      throw error
    })
    // Hashing takes long enough for the password to be changed, which ends only what it gave before.
    const isStill = metadata.accounts.find(name)?.passwordHash === row?.passwordHash
    const identity = isRight && isStill && row ? identities.find(row.id) : undefined
    this.options.onLogin(identity !== undefined)
    const kind = identity === undefined ? 'failed' : 'signed-in'
    this.options.notices.note({ kind, target: 'password', account: name, address })
    if (identity === undefined || row === undefined)
      throw wrong('the name or the password is wrong, or the account is disabled')
    attempt.succeeded()
    this.rememberAddress(row.id, address, lastHere)
    return { identity, until: this.rememberedUntil() }
  }

  /** Where an account signs in, guesses from elsewhere shall not hinder it; this is worth one write a day. */
  private rememberAddress(accountId: number, address: string, lastAt = 0): void {
    const { metadata, now } = this.options
    const at = now()
    if (at < lastAt + ADDRESS_RENEWED_MILLISECONDS) return
    void metadata.write('addAddress', { accountId, address: networkOf(address), at }).catch(() => {})
  }

  private proveSecret(secret: string, { kind, name, address }: SecretUse): Proved {
    const { metadata, identities, now } = this.options
    const row = metadata.credentials.findByHash(hashSecret(secret))
    const isGood = row?.kind === kind && (row.expiresAt === null || row.expiresAt > now())
    const identity = row && isGood ? identities.find(row.accountId, row) : undefined
    if (row === undefined || identity === undefined || (name !== undefined && identity.account !== name)) {
      this.options.notices.note({ kind: 'failed', target: kind, account: name, address })
      throw wrong('the token is wrong, expired or revoked, or is not of this account')
    }
    this.used.set(row.id, now())
    return { identity, until: Math.min(this.rememberedUntil(), row.expiresAt ?? Number.POSITIVE_INFINITY) }
  }

  private async proveSigned(token: string): Promise<Proved> {
    const { tokens, identities, metadata, now } = this.options
    const claims = await tokens.verify(token, now())
    if (claims === undefined) throw wrong('the token is not one of this registry, or has expired')
    const credential =
      claims.credential === undefined ? undefined : metadata.credentials.find(claims.credential)
    const isRevoked =
      claims.credential !== undefined &&
      (credential === undefined || (credential.expiresAt !== null && credential.expiresAt <= now()))
    const identity =
      claims.accountId === undefined ? identities.anonymous() : identities.find(claims.accountId, credential)
    if (identity === undefined || isRevoked) throw wrong('the account or its token is gone or disabled')
    const until = Math.min(
      this.rememberedUntil(),
      claims.expiresAt,
      credential?.expiresAt ?? Number.POSITIVE_INFINITY,
    )
    return { identity: { ...identity, token: scopeOf(claims.access) }, until }
  }

  private rememberedUntil(): number {
    return this.options.now() + REMEMBERED_SECONDS * 1000
  }
}

function scopeOf(access: TokenAccess[]): TokenScope {
  const repositories = new Map<string, Set<string>>()
  for (const { type, name, actions } of access) {
    if (type === 'repository') repositories.set(name, new Set(actions))
  }
  return { repositories, catalog: access.some(({ type, name }) => type === 'registry' && name === 'catalog') }
}

function wrong(message: string) {
  return registryError('UNAUTHORIZED', message)
}
