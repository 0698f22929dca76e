import { Elysia } from 'elysia'
import type { Access, Caller, Identity } from '../access/access.ts'
import { type Principal, principalOf } from '../access/decision.ts'
import type { SettingSources } from '../config/config.ts'
import type { Config } from '../config/schema.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { FedBody } from '../storage/blob-store.ts'
import { type Bodies, type BodySource, readBody } from './body.ts'
import type { Answering } from './operation.ts'
import { conditionOf } from './origin.ts'
import { refuseForeign, type SessionCookies } from './session-cookie.ts'

/** The services of one data folder that the HTTP APIs call. A capability adds its own by `declare module`. */
export interface ApiServices {
  config: Config
  settingSources: SettingSources
  /** The addresses that it listens on, HOST:PORT, and those of its mirrors. */
  addresses: string[]
  mirrors: { upstream: string; address: string }[]
  /** Milliseconds since 1970. */
  startedAt: number
}

/** What the controllers of the admin API depend on. */
export interface AdminContext {
  /** Counts a request that the caller may not make. */
  noteRefusal: (caller: Caller, what: string) => void
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
    context.noteRefusal(act().caller, `${request.method} ${new URL(request.url).pathname}`)
  return principalOf({ access: context.access, identity, act, onRefused })
}

type Absent = undefined | null

/** Fields that hold a time: milliseconds since 1970 in the services, RFC 3339 in the API. */
type TimeName = `${string}At` | `${string}Until` | 'at' | 'since' | 'until'
const TIME = /(At|Until|^at|^since|^until)$/

/** An object as the API returns it: without undefined or null fields, and with times as strings. */
export type WithoutAbsent<T> = {
  [K in keyof T as Absent & T[K] extends never ? K : never]: Shown<K, T[K]>
} & {
  [K in keyof T as Absent & T[K] extends never ? never : K]?: Shown<K, Exclude<T[K], Absent>>
}

type Shown<K, V> = K extends TimeName ? (V extends number ? string : V) : V

/**
 * Converts a service's result to a response. Elysia sends only the fields of the route's schema, so others need not be
 * removed.
 */
export function omitAbsent<T extends object>(value: T): WithoutAbsent<T> {
  const members: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined || member === null) continue
    const isTime = typeof member === 'number' && TIME.test(name)
    members[name] = isTime ? new Date(member).toISOString() : member
  }
  return members as WithoutAbsent<T>
}
