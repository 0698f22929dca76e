import type { Access, Action, Identity, Rule, Write } from '../access/access.ts'
import { parseRepositoryPattern } from '../access/patterns.ts'
import type { Metadata } from '../database/metadata.ts'
import { type ListPage, type PageQuery, readPage } from '../http/list-page.ts'
import { registryError } from '../oci/error.ts'
import { type RepositoryName, tryParseRepositoryName } from '../oci/reference.ts'
import { DAY_MS } from '../runtime/clock.ts'
import type { Auth, Authenticator } from './authenticator.ts'
import { newSecret } from './passwords.ts'
import { newSigningKey, TOKEN_SECONDS, TOKEN_SECONDS_MAX, type TokenAccess } from './signed-tokens.ts'
import type { CredentialRow, NewCredential } from './store.ts'

/** A token that an account signs in with. Only a hash of its secret is stored. Times are milliseconds since 1970. */
export interface Token extends Pick<CredentialRow, 'id' | 'name' | 'createdAt' | 'expiresAt' | 'lastUsedAt'> {
  /** `refresh`: a client got it from /token for a password, and gets short-lived tokens with it. */
  kind: 'token' | 'refresh'
  /** Limits what the token may do. Null means everything that the account may do. */
  scope: Rule[] | null
}

interface NewToken {
  name: string
  expiresInDays?: number | undefined
  scope?: Rule[] | undefined
}

/** The tokens of accounts. */
export function tokens(metadata: Metadata) {
  const kind = 'token'
  return {
    /** Lists the tokens of an account, with its refresh tokens. Throws NOT_FOUND. */
    list(account: string, query: PageQuery): Promise<ListPage<Token>> {
      const row = metadata.accounts.find(account)
      if (row === undefined) throw registryError('NOT_FOUND', `there is no account ${account}`)
      const read = (limit: number) =>
        metadata.credentials.list(row.id, query.cursor ?? '', limit).map(toToken)
      return readPage(query, read, ({ id }) => id)
    },

    /** Throws NOT_FOUND. */
    get(account: string, id: string): Token {
      const owner = metadata.accounts.find(account)
      const row = metadata.credentials.find(id)
      if (row === undefined || row.accountId !== owner?.id || row.kind === 'session')
        throw registryError('NOT_FOUND', `${account} has no token ${id}`)
      return toToken(row)
    },

    /**
     * Creates a token and returns it with its secret, which is never shown again. Throws NOT_FOUND, NAME_INVALID for a
     * bad pattern, and CONFLICT when the account has too many tokens.
     */
    async add(
      act: Write,
      account: string,
      { name, expiresInDays, scope }: NewToken,
    ): Promise<Token & { secret: string }> {
      for (const { pattern } of scope ?? []) parseRepositoryPattern(pattern)
      const { secret, hash } = newSecret()
      const expiresAt = expiresInDays === undefined ? null : act.at + expiresInDays * DAY_MS
      const token = { id: crypto.randomUUID(), kind, name, expiresAt } as const
      const stored = scope === undefined ? null : JSON.stringify(scope)
      await metadata.write('addCredential', { ...act, of: account, ...token, hash, scope: stored })
      return { ...token, createdAt: act.at, lastUsedAt: null, scope: scope ?? null, secret }
    },

    /** Revokes a token, which takes effect immediately. Throws NOT_FOUND. */
    async delete(act: Write, account: string, id: string): Promise<void> {
      await metadata.write('removeCredential', { ...act, of: account, id, kind })
    },
  }
}

function toToken({ scope, kind, ...row }: CredentialRow): Token {
  return {
    ...row,
    kind: kind === 'refresh' ? kind : 'token',
    scope: scope === null ? null : JSON.parse(scope),
  }
}

/** How long a session lasts. */
export const SESSION_SECONDS = 12 * 3600

/** A browser that has signed in. */
export interface Session {
  identity: Identity
  /** What its cookie holds. */
  secret: string
  /** Milliseconds since 1970. */
  expiresAt: number
}

/** The sessions of browsers. */
export function sessions(metadata: Metadata, authenticator: Authenticator) {
  const kind = 'session'
  return {
    /** Signs in. Throws UNAUTHORIZED for a wrong password and TOOMANYREQUESTS while logins are rate-limited. */
    async begin(act: Write, name: string, password: string): Promise<Session> {
      const { caller, at } = act
      const verify = () => authenticator.authenticatePassword(name, password, caller.address)
      const identity = await verify()
      const { account } = identity
      if (account === undefined || identity.credential !== undefined) {
        const message = 'sign in with a password: a session cannot be started with a token'
        throw registryError('UNAUTHORIZED', message)
      }
      const { secret, hash } = newSecret()
      const expiresAt = at + SESSION_SECONDS * 1000
      const by = { caller: { ...caller, account }, at, of: account, id: crypto.randomUUID() }
      const credential = { ...by, kind, name: kind, hash, expiresAt, scope: null } as const
      await addForPassword(metadata, credential, verify)
      return { identity, secret, expiresAt }
    },

    /** Returns the session of a secret, or undefined when it has ended. */
    find(secret: string): Session | undefined {
      const found = authenticator.findSession(secret)
      return found && { ...found, secret }
    },

    /** Signs out. */
    async end(act: Write, { identity: { account = '', credential = '' } }: Session): Promise<void> {
      await metadata.write('removeCredential', { ...act, of: account, id: credential, kind })
    },
  }
}

/** A key that short-lived tokens are signed with. */
export interface SigningKey {
  /** The `kid` of its tokens. */
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** When a replaced key expires, and with it the tokens it has signed. Null for the key that signs now. */
  endsAt: number | null
}

export function signingKeys(metadata: Metadata) {
  return {
    /** Lists keys, oldest first. The last one signs. */
    list(query: PageQuery): Promise<ListPage<SigningKey>> {
      // There are few keys, because each is deleted when its last token has expired.
      const rows = metadata.credentials.signingKeys()
      const from = rows.findIndex(({ id }) => id === query.cursor) + 1
      return readPage(
        query,
        (limit) => rows.slice(from, from + limit),
        ({ id }) => id,
      )
    },

    /** Throws NOT_FOUND. */
    get(id: string): SigningKey {
      const found = metadata.credentials.signingKeys().find((key) => key.id === id)
      if (found === undefined) throw registryError('NOT_FOUND', `there is no signing key ${id}`)
      return found
    },

    /**
     * Replaces the signing key. The old keys expire when the last of their tokens does. With `now` they expire
     * immediately, and every token they have signed is refused.
     */
    async rotate(act: Write, now: boolean): Promise<SigningKey & { othersEndAt: number }> {
      const key = await newSigningKey()
      const othersEndAt = now ? act.at : act.at + TOKEN_SECONDS_MAX * 1000
      await metadata.write('addSigningKey', { ...act, ...key, othersEndAt })
      return { id: key.id, createdAt: act.at, endsAt: null, othersEndAt }
    },
  }
}

/** How long a refresh token lives. */
const REFRESH_MS = 90 * DAY_MS

const NAME_CHARACTERS_MAX = 64

interface TokenRequest {
  /** As clients write them: `repository:NAME:ACTIONS`. */
  scopes: string[]
  /** The client's address. */
  address: string
  /** Asks for a refresh token, too. */
  refresh?: { client: string; verify: () => Promise<unknown> } | undefined
}

export interface IssuedToken {
  token: string
  access: TokenAccess[]
  /** Milliseconds since 1970. */
  issuedAt: number
  seconds: number
  refreshToken: string | undefined
}

/**
 * Short-lived tokens for registry clients. The account's permissions are looked up at each use.
 *
 * @param now returns milliseconds since 1970
 */
export function registryTokens(
  metadata: Metadata,
  { access, tokens, authenticator }: Pick<Auth, 'access' | 'tokens' | 'authenticator'>,
  now: () => number,
) {
  const idOf = (account: string | undefined) =>
    account === undefined ? undefined : metadata.accounts.find(account)?.id

  /** A refresh token lets a client keep no password. Changing the password revokes it. */
  const addRefreshToken = async (
    by: { account: string; address: string },
    { client, verify }: NonNullable<TokenRequest['refresh']>,
    at: number,
  ) => {
    const { secret, hash } = newSecret()
    // The least recently used one makes room for it.
    await authenticator.noteUse()
    const credential = {
      caller: { ...by, credential: undefined, requestId: '' },
      at,
      of: by.account,
      id: crypto.randomUUID(),
      kind: 'refresh',
      name: client.slice(0, NAME_CHARACTERS_MAX) || 'unknown client',
      hash,
      expiresAt: at + REFRESH_MS,
      scope: null,
    } as const
    await addForPassword(metadata, credential, verify)
    return secret
  }

  return {
    /**
     * Issues a token for those of the requested scopes that the identity is allowed. Verifies the password again before
     * it adds a refresh token for the client. Throws UNAUTHORIZED when the identity itself comes from a short-lived token.
     */
    async issue(identity: Identity, { scopes, address, refresh }: TokenRequest): Promise<IssuedToken> {
      // Otherwise a client could renew a short-lived token forever.
      if (identity.token !== undefined)
        throw registryError('UNAUTHORIZED', 'a bearer token cannot be exchanged for another token')
      const { account, credential } = identity
      const accountId = idOf(account)
      if (account !== undefined && accountId === undefined)
        throw registryError('UNAUTHORIZED', 'the account no longer exists')
      const issuedAt = now()
      const granted = grantScopes(access, identity, scopes)
      const token = await tokens.sign({ accountId, credential, access: granted }, issuedAt)
      const isByPassword = account !== undefined && credential === undefined
      const refreshToken =
        refresh && isByPassword ? await addRefreshToken({ account, address }, refresh, issuedAt) : undefined
      return { token, access: granted, issuedAt, seconds: TOKEN_SECONDS, refreshToken }
    },

    /** Issues a token for pulls from one repository. Returns undefined for an identity that needs none or has one. */
    async issueForPulls(
      { account, credential, token }: Identity,
      repository: RepositoryName,
      seconds: number,
    ): Promise<string | undefined> {
      const accountId = idOf(account)
      if (accountId === undefined || token !== undefined) return undefined
      const scope = [{ type: 'repository', name: repository, actions: ['pull'] }]
      return await tokens.sign({ accountId, credential, access: scope }, now(), seconds)
    },
  }
}

/**
 * Adds a credential that a client gets for its password. A password that changes between the sign-in and this write has
 * already ended the credentials of the old one, but not this one. So the password is verified again afterwards.
 *
 * @param verify throws if the password is wrong by now
 */
async function addForPassword(
  metadata: Metadata,
  credential: NewCredential & { kind: 'session' | 'refresh' },
  verify: () => Promise<unknown>,
): Promise<void> {
  await metadata.write('addCredential', credential)
  try {
    await verify()
  } catch (error) {
    // The change may have removed it. Otherwise, if this fails, nobody knows its secret.
    await metadata.write('removeCredential', credential).catch(() => {})
    throw error
  }
}

/** How many scopes one token request may have. */
const SCOPES_MAX = 100

const ACTIONS: readonly Action[] = ['pull', 'push', 'delete']

/**
 * Reduces the scopes that a client requests (repeated, or separated by spaces) to those that the identity is allowed.
 * Scopes of other types and malformed ones are dropped. Never throws.
 */
export function grantScopes(access: Access, identity: Identity, scopes: string[]): TokenAccess[] {
  const asked = scopes.flatMap((scope) => scope.split(' ')).filter((scope) => scope !== '')
  return asked.slice(0, SCOPES_MAX).flatMap((scope) => {
    const [, type = '', name = '', actions = ''] =
      /^([a-z]+)(?:\([a-z]*\))?:(.+):([a-z*,]*)$/.exec(scope) ?? []
    if (type === 'registry' && name === 'catalog') return [{ type, name, actions: ['*'] }]
    const repository = type === 'repository' ? tryParseRepositoryName(name) : undefined
    if (repository === undefined) return []
    const wanted = new Set(actions.split(','))
    const granted = ACTIONS.filter(
      (action) => (wanted.has(action) || wanted.has('*')) && access.may(identity, action, repository),
    )
    return [{ type, name: repository, actions: granted }]
  })
}
