import { LRUCache } from 'lru-cache'
import {
  type Access,
  type Action,
  type Identity,
  networkOf,
  TOKEN_PREFIX,
  type TokenScope,
} from '../access/access.ts'
import { EVERYTHING, inAll, type RepositorySet } from '../access/patterns.ts'
import type { Metadata } from '../database/metadata.ts'
import { registryError } from '../oci/error.ts'
import { hashSecret, Passwords } from './passwords.ts'
import { Identities } from './rules.ts'
import { Attempts, Notices, type SignIn } from './sign-ins.ts'
import { SignedTokens, type TokenAccess } from './signed-tokens.ts'
import type { CredentialRow } from './store.ts'

/** Limits of the cache of verified credentials: its lifetime, its entries, and the total characters of the headers. */
const REMEMBERED_SECONDS = 60
const REMEMBERED_MAX = 10_000
const REMEMBERED_CHARACTERS_MAX = 16 * 1024 * 1024

/** How often the address that an account signs in from is written again. */
const ADDRESS_RENEWED_MILLISECONDS = 86_400_000

interface AuthenticatorOptions {
  metadata: Metadata
  identities: Identities
  passwords: Passwords
  attempts: Attempts
  notices: Notices
  tokens: SignedTokens
  /** Milliseconds since 1970. */
  now: () => number
  /** Called for each verification of a password or long-lived token. A cached credential is not verified again. */
  onSignIn: (signIn: SignIn) => void
}

interface Proved {
  identity: Identity
  /** When it must be verified again, in milliseconds since 1970. */
  until: number
}

interface Proving {
  identity: Promise<Identity>
  /** The ids of the accounts that changed in the meantime. */
  changed: Set<number>
}

/** Authenticates Basic with a password or a token, Bearer with a token of either kind, or anonymous. */
export class Authenticator {
  private readonly options: AuthenticatorOptions
  private readonly remembered = new LRUCache<string, Proved>({
    max: REMEMBERED_MAX,
    maxSize: REMEMBERED_CHARACTERS_MAX,
    sizeCalculation: (_, key) => key.length,
  })
  /** Verifications in progress, so that many requests with one password cost one hash. */
  private readonly proving = new Map<string, Proving>()
  private readonly used = new Map<string, number>()

  constructor(options: AuthenticatorOptions) {
    this.options = options
    options.metadata.onStale('accounts', ({ accounts }) => this.forget(accounts))
    // Tokens with an expired key are verified again, and refused.
    options.metadata.onStale('signing-keys', () => this.forgetIf(({ token }) => token !== undefined))
  }

  /**
   * Returns the identity for an Authorization header, or the anonymous one when there is none.
   *
   * @param address returns the client's address
   * @throws RegistryError UNAUTHORIZED for a wrong credential, TOOMANYREQUESTS while logins are rate-limited
   */
  authenticate(header: string | null, address: () => string): Identity | Promise<Identity> {
    if (header === null || header === '') return this.options.identities.anonymous()
    // Keep no secret in memory, not even as a cache key, except a token that expires in minutes.
    const isSigned = header.startsWith('Bearer ') && !header.startsWith(TOKEN_PREFIX, 'Bearer '.length)
    const key = isSigned ? header : hashSecret(header).toString('base64')
    const known = this.remembered.get(key)
    if (known && known.until > this.options.now()) return known.identity
    const proving = this.proving.get(key)
    if (proving) return proving.identity
    const changed = new Set<number>()
    const identity = this.proveOnce(key, header, address(), changed)
    this.proving.set(key, { identity, changed })
    return identity
  }

  /** Returns the identity behind a refresh token. */
  async authenticateRefresh(secret: string, address: string): Promise<Identity> {
    return this.proveSecret(secret, 'refresh', address).identity
  }

  /** Returns the identity of a browser session and when it ends, or undefined when it has ended. */
  findSession(secret: string): { identity: Identity; expiresAt: number } | undefined {
    const { metadata, identities, now } = this.options
    const row = metadata.credentials.findByHash(hashSecret(secret))
    const expiresAt = row?.expiresAt ?? 0
    if (row?.kind !== 'session' || expiresAt <= now()) return undefined
    const identity = identities.find(row.accountId, row)
    return identity && { identity, expiresAt }
  }

  /** Returns the identity for a name with a password, or with a token as the password. */
  async authenticatePassword(name: string, password: string, address: string): Promise<Identity> {
    if (name.includes(':')) throw wrong('the account name contains a colon')
    const basic = `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
    return await this.authenticate(basic, () => address)
  }

  /** Writes when tokens were last used, for those used since the previous call. */
  async noteUse(): Promise<void> {
    const used = Array.from(this.used, ([id, at]) => ({ id, at }))
    this.used.clear()
    if (used.length > 0) await this.options.metadata.write('touchCredentials', { used })
  }

  /** @param changed accounts that changed since this began, whose identities must not be cached */
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

  /** Drops the cached identities of changed accounts, and keeps verifications in progress from being cached. */
  private forget(accounts: readonly number[]): void {
    const changed = new Set<number | undefined>(accounts)
    this.forgetIf(({ accountId }) => changed.has(accountId))
    for (const proving of this.proving.values()) for (const id of accounts) proving.changed.add(id)
  }

  private forgetIf(isStale: (identity: Identity) => boolean): void {
    for (const [key, { identity }] of this.remembered) if (isStale(identity)) this.remembered.delete(key)
  }

  /** Drops cached identities, and failed logins that have expired. Later ones still delay guesses. */
  releaseMemory(): void {
    this.remembered.clear()
    this.options.identities.releaseMemory()
    this.options.attempts.releaseMemory()
  }

  private async prove(header: string, address: string): Promise<Proved> {
    const [, scheme = '', value = ''] = /^(\S+) +(\S+)$/.exec(header) ?? []
    switch (scheme.toLowerCase()) {
      case 'basic': {
        const text = Buffer.from(value, 'base64').toString()
        const colon = text.indexOf(':')
        if (colon < 0) throw wrong('the Authorization header is Basic, but has no name and password')
        return await this.provePassword(text.slice(0, colon), text.slice(colon + 1), address)
      }
      case 'bearer':
        if (value.startsWith(TOKEN_PREFIX)) return this.proveSecret(value, 'token', address)
        return await this.proveSigned(value)
      default:
        throw wrong('the Authorization header must be Bearer or Basic')
    }
  }

  private async provePassword(name: string, password: string, address: string): Promise<Proved> {
    if (password.startsWith(TOKEN_PREFIX)) return this.proveSecret(password, 'token', address, name)
    const { metadata, attempts, passwords, identities } = this.options
    const row = metadata.accounts.find(name)
    const lastHere = row && metadata.addresses.lastAt(row.id, networkOf(address))
    const attempt = attempts.begin({ account: name, address, isKnownAddress: lastHere !== undefined })
    const isRight = await passwords.verify(password, row?.passwordHash ?? undefined).catch((error) => {
      attempt.abandoned()
      throw error
    })
    // The password may have changed during hashing, and that revoked only what existed at the time.
    const isStill = metadata.accounts.find(name)?.passwordHash === row?.passwordHash
    const identity = isRight && isStill && row ? identities.find(row.id) : undefined
    this.options.onSignIn({ isRight: identity !== undefined, credential: 'password', account: name, address })
    const kind = identity === undefined ? 'failed' : 'signed-in'
    this.options.notices.note({ kind, target: 'password', account: name, address })
    if (identity === undefined || row === undefined)
      throw wrong('the name or the password is wrong, or the account is disabled')
    attempt.succeeded()
    this.rememberAddress(row.id, address, lastHere)
    return { identity, until: this.rememberedUntil() }
  }

  /**
   * Remembers the address, so that guesses from elsewhere do not delay the account there. Writes once a day at most.
   */
  private rememberAddress(accountId: number, address: string, lastAt = 0): void {
    const { metadata, now } = this.options
    const at = now()
    if (at < lastAt + ADDRESS_RENEWED_MILLISECONDS) return
    void metadata.write('addAddress', { accountId, address: networkOf(address), at }).catch(() => {})
  }

  /** @param name the account that it must belong to, if the client sent one */
  private proveSecret(secret: string, kind: CredentialRow['kind'], address: string, name?: string): Proved {
    const { metadata, identities, now } = this.options
    const row = metadata.credentials.findByHash(hashSecret(secret))
    const isGood = row?.kind === kind && (row.expiresAt === null || row.expiresAt > now())
    const identity = row && isGood ? identities.find(row.accountId, row) : undefined
    if (row === undefined || identity === undefined || (name !== undefined && identity.account !== name)) {
      this.options.notices.note({ kind: 'failed', target: kind, account: name, address })
      this.options.onSignIn({ isRight: false, credential: kind, account: name, address })
      throw wrong('the token is wrong, expired, revoked, or belongs to another account')
    }
    this.used.set(row.id, now())
    this.options.onSignIn({ isRight: true, credential: kind, account: identity.account, address })
    return { identity, until: Math.min(this.rememberedUntil(), row.expiresAt ?? Number.POSITIVE_INFINITY) }
  }

  private async proveSigned(token: string): Promise<Proved> {
    const { tokens, identities, metadata, now } = this.options
    const claims = await tokens.verify(token, now())
    if (claims === undefined) throw wrong('the token was not issued by this registry, or has expired')
    const credential =
      claims.credential === undefined ? undefined : metadata.credentials.find(claims.credential)
    const isRevoked =
      claims.credential !== undefined &&
      (credential === undefined || (credential.expiresAt !== null && credential.expiresAt <= now()))
    const identity =
      claims.accountId === undefined ? identities.anonymous() : identities.find(claims.accountId, credential)
    if (identity === undefined || isRevoked)
      throw wrong('the account is disabled or deleted, or its token was revoked')
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

/** Authentication and authorization. */
export interface Auth {
  access: Access
  authenticator: Authenticator
  passwords: Passwords
  tokens: SignedTokens
  identities: Identities
  attempts: Attempts
  notices: Notices
}

/** `accounts` requires credentials and grants. `open` allows everyone everything. */
export type AccessMode = 'accounts' | 'open'

/** Builds the services for a data folder. The first call creates its signing key. */
export async function openAuth(
  metadata: Metadata,
  mode: AccessMode,
  now: () => number,
  onSignIn: AuthenticatorOptions['onSignIn'] = () => {},
): Promise<Auth> {
  const passwords = new Passwords({ bcryptCosts: rememberedCosts(metadata) })
  const tokens = await SignedTokens.open(metadata, now())
  const identities = new Identities(metadata)
  const attempts = new Attempts(now)
  const notices = new Notices(metadata, now)
  const services = { passwords, tokens, identities, attempts, notices }
  const authenticator = new Authenticator({ ...services, metadata, now, onSignIn })
  return { ...services, access: mode === 'open' ? openAccess : grantedAccess, authenticator }
}

/** Returns a cached reader of bcrypt costs. They are read again when accounts change. */
function rememberedCosts(metadata: Metadata): () => readonly string[] {
  let costs: readonly string[] | undefined
  metadata.onStale('accounts', () => {
    costs = undefined
  })
  return () => {
    costs ??= metadata.accounts.bcryptCosts()
    return costs
  }
}

/** Decides access by grants. Grants add up, and every limit of the credential must also allow the action. */
export const grantedAccess: Access = {
  isOpen: false,

  may: (identity, action, repository) =>
    (identity.isAdmin || identity.granted.allows(action, repository)) &&
    identity.limits.every(({ permissions }) => permissions.allows(action, repository)),

  pullable: (identity) => allowed(identity, 'pull'),

  deletable: (identity) => allowed(identity, 'delete'),
}

function allowed({ isAdmin, granted, limits }: Identity, action: Action): RepositorySet {
  const all = [...limits.map(({ permissions }) => permissions), ...(isAdmin ? [] : [granted])]
  return inAll(all.map((one) => one.repositories(action)))
}

/** Allows everyone everything, for a registry on loopback without accounts. */
export const openAccess: Access = {
  isOpen: true,
  may: () => true,
  pullable: () => EVERYTHING,
  deletable: () => EVERYTHING,
}
