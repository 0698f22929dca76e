import { Elysia } from 'elysia'
import type { AccountServices } from '../../core/accounts/account-services.ts'
import type { Access, Identity } from '../../domain/access/access.ts'
import { type Principal, principalOf } from '../../domain/access/principal.ts'
import type { FedBody } from '../../domain/blob-body.ts'
import type { Digest } from '../../oci/digest.ts'
import type { RegistryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Bodies } from '../request/bodies.ts'
import { readBody } from '../request/body.ts'
import type { BodySource } from '../request/body-reader.ts'
import { conditionOf } from '../request/conditions.ts'
import { refuseForeign, type SessionCookies } from '../session-cookie.ts'
import type { ApiServices } from './services.ts'

/** What the controllers of the admin API depend on. */
export interface AdminContext {
  accounts: AccountServices
  content: ApiServices
  cookies: SessionCookies
  now: () => number
  access: Access
  /** Returns the caller's identity; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
  addressOf: (request: Request) => string
  bodies: Pick<Bodies, 'signIn' | 'admin'>
  sourceOf: (request: Request) => BodySource
  /** Responds with a blob of a repository, or the requested range of it. */
  sendBlob: (request: Request, repository: RepositoryName, digest: Digest) => Promise<Response>
  /** Returns a stream that a body writes to. */
  streamOf: (body: FedBody) => ReadableStream
}

/** Responses depend on the caller: shared caches must not store them, and browsers must revalidate them. */
const OWN = {
  'cache-control': 'private, no-cache',
  vary: 'authorization, cookie',
  'x-content-type-options': 'nosniff',
}

/**
 * Starts a controller. `principal` is the caller with their rights, and the noun is the OpenAPI tag of the routes. The
 * access that a route's `operation` declares is checked before anything else, also before `readJson` reads the body.
 */
export function controller<const Prefix extends string>(context: AdminContext, noun: string, prefix: Prefix) {
  const findPrincipal = (request: Request, set: Answering) => principalFor(context, request, set)
  return new Elysia({ name: noun, prefix, tags: [noun] })
    .decorate('findPrincipal', findPrincipal)
    .decorate('readJson', (request: Request, principal: Principal, contentType: string) => {
      const { signIn, admin } = context.bodies
      const reader = principal.account === undefined && !principal.isAdmin ? signIn : admin
      return readBody(reader, context.sourceOf(request), 'application/json', contentType)
    })
    .derive({ as: 'local' }, async ({ request, set }) => {
      Object.assign(set.headers, OWN)
      refuseForeign(request)
      return { principal: await findPrincipal(request, set) }
    })
}

/** Holds the response headers set so far, and what the log says about the request. */
export interface Answering {
  headers: Record<string, string | number | undefined>
  account?: string | undefined
  address?: string
  failure?: RegistryError
  status?: number | string
}

async function principalFor(context: AdminContext, request: Request, set: Answering): Promise<Principal> {
  const identity = await context.authenticate(request)
  const { account, credential } = identity
  const requestId = String(set.headers['x-request-id'])
  set.account = account
  const act = () => ({
    caller: { account, credential, address: context.addressOf(request), requestId },
    at: context.now(),
    condition: conditionOf(request),
  })
  const onRefused = () =>
    context.accounts.audit.noteRefusal(act().caller, `${request.method} ${new URL(request.url).pathname}`)
  return principalOf({ access: context.access, identity, act, onRefused })
}
