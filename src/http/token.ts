import { Elysia, t } from 'elysia'
import type { Authenticator } from '../auth/authenticator.ts'
import { grantScopes } from '../auth/scopes.ts'
import { newSecret } from '../auth/secrets.ts'
import { type SignedTokens, TOKEN_SECONDS } from '../auth/signed-tokens.ts'
import type { Access, Identity } from '../domain/access.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { registryError } from '../oci/error.ts'
import type { Bodies } from './request/bodies.ts'
import { forms } from './request/body.ts'
import type { BodySource } from './request/body-reader.ts'

/** How long a refresh token lives, in days. */
const REFRESH_DAYS = 90

/** Errors as the distribution-spec has them ("Error Codes"). */
const Errors = t.Object(
  { errors: t.Array(t.Object({ code: t.String(), message: t.String() })) },
  { description: 'What was wrong, and what to do' },
)

const Tokens = t.Object(
  {
    token: t.String(),
    access_token: t.String(),
    expires_in: t.Integer({ description: 'Seconds' }),
    issued_at: t.String({ format: 'date-time' }),
    scope: t.Optional(t.String()),
    refresh_token: t.Optional(t.String()),
  },
  { description: 'A token for /v2, which allows what was asked for as far as the account may.' },
)

const ANSWERS = { 200: Tokens, 400: Errors, 401: Errors, 413: Errors, 415: Errors, 429: Errors, 500: Errors }

export interface TokenOptions {
  metadata: Metadata
  access: Access
  authenticator: Authenticator
  tokens: SignedTokens
  now: () => number
  addressOf: (request: Request) => string
  bodies: Bodies
  sourceOf: (request: Request) => BodySource
}

/** Docker's token protocol: GET with Basic, and POST as OAuth 2. */
export function token(options: TokenOptions) {
  const { authenticator, addressOf } = options
  return new Elysia({ name: 'token', tags: ['token'] })
    .use(forms(options.bodies.signIn, options.sourceOf))
    .get(
      '/token',
      async ({ request, query }) => {
        const header = request.headers.get('authorization')
        const identity = await authenticator.authenticate(header, () => addressOf(request))
        const scopes = new URL(request.url).searchParams.getAll('scope')
        return await answer(options, request, identity, scopes, query.offline_token === 'true')
      },
      {
        query: t.Object(
          {
            service: t.Optional(t.String()),
            scope: t.Optional(t.Union([t.String(), t.Array(t.String())])),
            account: t.Optional(t.String()),
            client_id: t.Optional(t.String()),
            offline_token: t.Optional(t.String()),
          },
          { additionalProperties: t.String() },
        ),
        response: ANSWERS,
        detail: { summary: 'Get a token', operationId: 'getToken', security: [{ basic: [] }, {}] },
      },
    )
    .post(
      '/token',
      async ({ request, body }) => {
        const identity = await identityOf(authenticator, body, addressOf(request))
        return await answer(options, request, identity, [body.scope ?? ''], body.access_type === 'offline')
      },
      {
        body: t.Object(
          {
            grant_type: t.UnionEnum(['password', 'refresh_token'], { default: undefined }),
            service: t.Optional(t.String()),
            client_id: t.Optional(t.String()),
            scope: t.Optional(t.String()),
            access_type: t.Optional(t.String()),
            username: t.Optional(t.String()),
            password: t.Optional(t.String()),
            refresh_token: t.Optional(t.String()),
          },
          { additionalProperties: t.String() },
        ),
        response: ANSWERS,
        detail: { summary: 'Get a token, as OAuth 2', operationId: 'postToken', security: [{}] },
      },
    )
}

interface Grant {
  grant_type: 'password' | 'refresh_token'
  username?: string
  password?: string
  refresh_token?: string
}

function identityOf(authenticator: Authenticator, grant: Grant, address: string): Promise<Identity> {
  if (grant.grant_type === 'refresh_token')
    return authenticator.authenticateRefresh(grant.refresh_token ?? '')
  return authenticator.authenticatePassword(grant.username ?? '', grant.password ?? '', address)
}

async function answer(
  options: TokenOptions,
  request: Request,
  identity: Identity,
  scopes: string[],
  isOffline: boolean,
) {
  // A token is had with what lasts longer, not with another token: it ends when it says.
  if (identity.token !== undefined) throw registryError('UNAUTHORIZED', 'a token gives no further token')
  const now = options.now()
  const access = grantScopes(options.access, identity, scopes)
  const { account, credential } = identity
  const accountId = account === undefined ? undefined : options.metadata.accounts.find(account)?.id
  if (account !== undefined && accountId === undefined)
    throw registryError('UNAUTHORIZED', 'the account is gone')
  const signed = await options.tokens.sign({ accountId, credential, access }, now)
  const isByPassword = account !== undefined && credential === undefined
  const refresh = isOffline && isByPassword ? await newRefresh(options, request, account) : undefined
  return {
    token: signed,
    access_token: signed,
    expires_in: TOKEN_SECONDS,
    issued_at: new Date(now).toISOString(),
    scope: access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' '),
    ...(refresh === undefined ? {} : { refresh_token: refresh }),
  }
}

/**
 * A refresh token stands for a password, so that a client need not keep that; changing the password ends it.
 * Who has a token already gets none.
 */
async function newRefresh(options: TokenOptions, request: Request, account: string): Promise<string> {
  const { secret, hash } = newSecret()
  const now = options.now()
  await options.metadata.write('addCredential', {
    caller: { account, credential: undefined, address: options.addressOf(request), requestId: '' },
    at: now,
    of: account,
    id: crypto.randomUUID(),
    kind: 'refresh',
    name: 'refresh',
    hash,
    expiresAt: now + REFRESH_DAYS * 86_400_000,
    scope: null,
  })
  return secret
}
