import { grantScopes } from '../../auth/scopes.ts'
import { newSecret } from '../../auth/secrets.ts'
import { type SignedTokens, TOKEN_SECONDS, type TokenAccess } from '../../auth/signed-tokens.ts'
import type { Access, Identity } from '../../domain/access/access.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { addForPassword } from './password-credentials.ts'

/** How long a refresh token lives. */
const REFRESH_DAYS = 90

const NAME_CHARACTERS_MAX = 64

export interface TokenRequest {
  /** As clients write them: `repository:NAME:ACTIONS`. */
  scopes: string[]
  /** The client's address. */
  address: string
  /** Asks for a refresh token, too. */
  refresh?: RefreshRequest | undefined
}

export interface RefreshRequest {
  /** What the client calls itself; may be empty. */
  client: string
  /** Verifies the password of the request again. */
  verify: () => Promise<unknown>
}

export interface IssuedToken {
  token: string
  access: TokenAccess[]
  /** Milliseconds since 1970. */
  issuedAt: number
  seconds: number
  refreshToken: string | undefined
}

/** Short-lived tokens for registry clients. The account's permissions are looked up at each use. */
export interface RegistryTokens {
  /**
   * Issues a token for those of the requested scopes that the identity is allowed. Throws UNAUTHORIZED when the
   * identity itself comes from a short-lived token.
   */
  issue(identity: Identity, request: TokenRequest): Promise<IssuedToken>
  /** Issues a token for pulls from one repository. Returns undefined for an identity that needs none or has one. */
  issueForPulls(identity: Identity, repository: RepositoryName, seconds: number): Promise<string | undefined>
}

export interface RegistryTokensOptions {
  metadata: Metadata
  access: Access
  tokens: SignedTokens
  /** Writes when tokens were last used. */
  noteUse: () => Promise<void>
  /** Milliseconds since 1970. */
  now: () => number
}

export function registryTokens({
  metadata,
  access,
  tokens,
  noteUse,
  now,
}: RegistryTokensOptions): RegistryTokens {
  const idOf = (account: string | undefined) =>
    account === undefined ? undefined : metadata.accounts.find(account)?.id

  /** A refresh token lets a client keep no password. Changing the password revokes it. */
  const addRefreshToken = async (
    by: { account: string; address: string },
    refresh: RefreshRequest,
    at: number,
  ) => {
    const { client, verify } = refresh
    const { secret, hash } = newSecret()
    // The least recently used one makes room for it.
    await noteUse()
    const credential = {
      caller: { ...by, credential: undefined, requestId: '' },
      at,
      of: by.account,
      id: crypto.randomUUID(),
      kind: 'refresh',
      name: client.slice(0, NAME_CHARACTERS_MAX) || 'unknown client',
      hash,
      expiresAt: at + REFRESH_DAYS * 86_400_000,
      scope: null,
    } as const
    await addForPassword(metadata, credential, verify)
    return secret
  }

  return {
    async issue(identity, { scopes, address, refresh }) {
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

    async issueForPulls({ account, credential, token }, repository, seconds) {
      const accountId = idOf(account)
      if (accountId === undefined || token !== undefined) return undefined
      const scope = [{ type: 'repository', name: repository, actions: ['pull'] }]
      return await tokens.sign({ accountId, credential, access: scope }, now(), seconds)
    },
  }
}
