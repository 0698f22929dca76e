import { grantScopes } from '../../auth/scopes.ts'
import { newSecret } from '../../auth/secrets.ts'
import { type SignedTokens, TOKEN_SECONDS, type TokenAccess } from '../../auth/signed-tokens.ts'
import type { Access, Identity } from '../../domain/access.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/** How long a refresh token lives. */
const REFRESH_DAYS = 90

export interface TokenRequest {
  /** As clients write them: `repository:NAME:ACTIONS`. */
  scopes: string[]
  /** Whether the client asks for a refresh token, too. */
  isOffline: boolean
  /** Where the request comes from. */
  address: string
}

export interface IssuedToken {
  token: string
  access: TokenAccess[]
  /** Milliseconds since 1970. */
  issuedAt: number
  seconds: number
  refreshToken: string | undefined
}

/** Short-lived tokens for registry clients: what the account may do is looked up at each use. */
export interface RegistryTokens {
  /**
   * Issues a token for as much of the scopes as the identity may do. Throws UNAUTHORIZED when the identity was itself
   * proved by such a token.
   */
  issue(identity: Identity, request: TokenRequest): Promise<IssuedToken>
  /** Issues a token for pulls from one repository; undefined for an identity that needs none, or has one. */
  issueForPulls(identity: Identity, repository: RepositoryName, seconds: number): Promise<string | undefined>
}

export interface RegistryTokensOptions {
  metadata: Metadata
  access: Access
  tokens: SignedTokens
  /** Milliseconds since 1970. */
  now: () => number
}

export function registryTokens({ metadata, access, tokens, now }: RegistryTokensOptions): RegistryTokens {
  const idOf = (account: string | undefined) =>
    account === undefined ? undefined : metadata.accounts.find(account)?.id

  /** A refresh token stands for a password, so that a client need not keep that; changing the password ends it. */
  const addRefreshToken = async (account: string, address: string, at: number) => {
    const { secret, hash } = newSecret()
    await metadata.write('addCredential', {
      caller: { account, credential: undefined, address, requestId: '' },
      at,
      of: account,
      id: crypto.randomUUID(),
      kind: 'refresh',
      name: 'refresh',
      hash,
      expiresAt: at + REFRESH_DAYS * 86_400_000,
      scope: null,
    })
    return secret
  }

  return {
    async issue(identity, { scopes, isOffline, address }) {
      // A token is had with what lasts longer, not with another token: it expires when it says.
      if (identity.token !== undefined) throw registryError('UNAUTHORIZED', 'a token gives no further token')
      const { account, credential } = identity
      const accountId = idOf(account)
      if (account !== undefined && accountId === undefined)
        throw registryError('UNAUTHORIZED', 'the account is gone')
      const issuedAt = now()
      const granted = grantScopes(access, identity, scopes)
      const token = await tokens.sign({ accountId, credential, access: granted }, issuedAt)
      const isByPassword = account !== undefined && credential === undefined
      const refreshToken =
        isOffline && isByPassword ? await addRefreshToken(account, address, issuedAt) : undefined
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
