import { Elysia, type Static, t } from 'elysia'
import type { Authenticator, Identity } from '../access/access.ts'
import { type Bodies, type BodySource, forms } from '../http/body.ts'
import type { AccountServices } from './accounts.ts'
import type { IssuedToken } from './credentials.ts'

/** Errors in the format of the distribution-spec ("Error Codes"). */
const Errors = t.Object(
  { errors: t.Array(t.Object({ code: t.String(), message: t.String() })) },
  { description: 'What went wrong, and what to do about it' },
)

const Tokens = t.Object(
  {
    token: t.String(),
    access_token: t.String(),
    expires_in: t.Integer({ description: 'The lifetime in seconds' }),
    issued_at: t.String({ format: 'date-time' }),
    scope: t.Optional(t.String()),
    refresh_token: t.Optional(t.String()),
  },
  { description: 'A token for /v2 with the requested scope, limited to what the account may do' },
)

const Grant = t.Object(
  {
    grant_type: t.UnionEnum(['password', 'refresh_token'], { default: undefined }),
    service: t.Optional(t.String()),
    client_id: t.Optional(t.String()),
    scope: t.Optional(t.String({ example: 'repository:library/alpine:pull' })),
    access_type: t.Optional(t.String({ description: '`offline` asks for a refresh token' })),
    username: t.Optional(t.String({ example: 'alice' })),
    password: t.Optional(t.String({ example: 'correct-horse-battery' })),
    refresh_token: t.Optional(t.String()),
  },
  { additionalProperties: t.String() },
)

const ANSWERS = { 200: Tokens, 400: Errors, 401: Errors, 413: Errors, 415: Errors, 429: Errors, 500: Errors }

interface TokenOptions {
  accounts: Pick<AccountServices, 'registryTokens'>
  authenticator: Authenticator
  addressOf: (request: Request) => string
  bodies: Bodies
  sourceOf: (request: Request) => BodySource
}

/**
 * GET and POST /token: Docker's token protocol, with Basic or as OAuth 2. Only POST returns refresh tokens. `docker login`
 * asks for one with GET, and stores it instead of the password in the file that podman, skopeo and buildah also read, and
 * they refuse a file with such a token.
 */
export function token({ authenticator, addressOf, accounts: { registryTokens }, ...options }: TokenOptions) {
  return new Elysia({ name: 'token', tags: ['token'] })
    .use(forms(options.bodies.signIn, options.sourceOf))
    .onTransform(({ set }) => {
      // RFC 6749, 5.1
      set.headers['cache-control'] = 'no-store'
    })
    .get(
      '/token',
      async ({ request }) => {
        const header = request.headers.get('authorization')
        const address = addressOf(request)
        const identity = await authenticator.authenticate(header, () => address)
        const scopes = new URL(request.url).searchParams.getAll('scope')
        return toAnswer(await registryTokens.issue(identity, { scopes, address }))
      },
      {
        query: t.Object(
          {
            service: t.Optional(t.String()),
            scope: t.Optional(t.Union([t.String(), t.Array(t.String())])),
            account: t.Optional(t.String()),
            client_id: t.Optional(t.String()),
            offline_token: t.Optional(
              t.String({ description: 'Ignored, because of what Docker does with a refresh token' }),
            ),
          },
          { additionalProperties: t.String() },
        ),
        response: ANSWERS,
        detail: { summary: 'Get a token', operationId: 'getAccessToken', security: [{ basic: [] }, {}] },
      },
    )
    .post(
      '/token',
      async ({ request, body }) => {
        const address = addressOf(request)
        const verify = () => identityOf(authenticator, body, address)
        const identity = await verify()
        const refresh = body.access_type === 'offline' ? { client: body.client_id ?? '', verify } : undefined
        return toAnswer(
          await registryTokens.issue(identity, { scopes: [body.scope ?? ''], address, refresh }),
        )
      },
      {
        body: Grant,
        response: ANSWERS,
        detail: { summary: 'Get a token (OAuth 2)', operationId: 'postAccessToken', security: [{}] },
      },
    )
}

function identityOf(
  authenticator: Authenticator,
  grant: Static<typeof Grant>,
  address: string,
): Promise<Identity> {
  if (grant.grant_type === 'refresh_token')
    return authenticator.authenticateRefresh(grant.refresh_token ?? '', address)
  return authenticator.authenticatePassword(grant.username ?? '', grant.password ?? '', address)
}

function toAnswer({ token, access, issuedAt, seconds, refreshToken }: IssuedToken) {
  return {
    token,
    access_token: token,
    expires_in: seconds,
    issued_at: new Date(issuedAt).toISOString(),
    scope: access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' '),
    ...(refreshToken !== undefined && { refresh_token: refreshToken }),
  }
}
