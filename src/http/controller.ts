import { createHash, timingSafeEqual } from 'node:crypto'
import { Elysia } from 'elysia'
import { type Access, type Caller, type Identity, type Principal, principalOf } from '../access/access.ts'
import type { SettingSources } from '../config/config.ts'
import type { Config } from '../config/schema.ts'
import { registryError } from '../oci/error.ts'
import type { Digest, RepositoryName } from '../oci/reference.ts'
import type { FedBody } from '../storage/blob-store.ts'
import { type Bodies, type BodySource, readBody } from './body.ts'
import type { Answering } from './operation.ts'
import { conditionOf, isSafe, refuseForeign } from './origin.ts'

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
  const findPrincipal = async (request: Request, set: Answering): Promise<Principal> => {
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

type Absent = undefined | null

/** Fields that hold a time: milliseconds since 1970 in the services, RFC 3339 in the API. */
type TimeName = `${string}At` | `${string}Until` | 'at' | 'since' | 'until'
const TIME = /(At|Until|^at|^since|^until)$/

/** An object as the API returns it: without undefined or null fields, and with times as strings. */
type WithoutAbsent<T> = {
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

/** The session cookie. With TLS it has the `__Host-` prefix, which binds it to this host (RFC 6265bis, 4.1.3.2). */
export const COOKIE = 'cay-session'
const SECURE_COOKIE = `__Host-${COOKIE}`

/** The header that proves that a page of this server made the request. */
export const CSRF_HEADER = 'x-csrf-token'

/** Reads and writes session cookies. */
export class SessionCookies {
  private readonly originOf: (request: Request) => string

  /** @param originOf returns the scheme, host and port that the client used to reach this server */
  constructor(originOf: (request: Request) => string) {
    this.originOf = originOf
  }

  /** Returns the session secret of a request. */
  secretOf(request: Request): string | undefined {
    const cookies = new Bun.CookieMap(request.headers.get('cookie') ?? '')
    return cookies.get(this.nameFor(request)) ?? undefined
  }

  /** Formats the `set-cookie` header for a secret with a lifetime in seconds; 0 deletes the cookie. */
  format(request: Request, secret: string, seconds: number): string {
    const name = this.nameFor(request)
    const secure = name === SECURE_COOKIE
    // Hidden from scripts and from requests of other sites.
    const hidden = { path: '/', httpOnly: true, sameSite: 'strict' } as const
    return new Bun.Cookie(name, secret, { secure, maxAge: seconds, ...hidden }).serialize()
  }

  private nameFor(request: Request): string {
    return this.originOf(request).startsWith('https:') ? SECURE_COOKIE : COOKIE
  }
}

/** Returns the CSRF token of a session, which is derived from its secret. Only pages of this server can read it. */
export function csrfTokenOf(secret: string): string {
  return createHash('sha256').update(`csrf ${secret}`).digest('base64url')
}

/** Throws DENIED for a change that uses a session without its CSRF token. */
export function checkCsrf(request: Request, secret: string): void {
  if (isSafe(request)) return
  const given = Buffer.from(request.headers.get(CSRF_HEADER) ?? '')
  const expected = Buffer.from(csrfTokenOf(secret))
  if (given.length === expected.length && timingSafeEqual(given, expected)) return
  throw registryError(
    'DENIED',
    `missing or wrong CSRF token: send the session's csrfToken in the ${CSRF_HEADER} header`,
  )
}

/** How often an idle stream sends a comment, so that no proxy or server closes it. */
const HEARTBEAT_SECONDS = 5

/** Whole events, and whether the stream ends after them. */
export interface Sent {
  text: string
  isEnd: boolean
}

export interface EventSource {
  /** Returns what to send, or undefined if there is nothing. Called after each `wake` and heartbeat. */
  take(): Sent | undefined | Promise<Sent | undefined>
  /** Called when the client has disconnected. */
  stop(): void
}

/** Formats a server-sent event (HTML, 9.2) with an object as JSON. */
export function eventText(event: string, data: object, id?: number): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`
}

/**
 * Streams server-sent events, and comments while there are none. Events are taken only when the client reads.
 *
 * Elysia's `sse` is not used: it sends no heartbeat comments, and it notices a disconnect only when the generator yields
 * again, so the client would count as a watcher until then.
 *
 * @param open opens the source, which calls `wake` when there may be events
 */
export function eventStream(
  open: (wake: () => void) => EventSource,
  heartbeatSeconds = HEARTBEAT_SECONDS,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder()
  let [isAwake, isGone] = [false, false]
  let resume = () => {}
  const wake = () => {
    isAwake = true
    resume()
  }
  const source = open(wake)
  /** Waits until there may be something to take, at most until it is time for a heartbeat. */
  const next = async () => {
    isAwake = false
    const sent = await source.take()
    if (sent !== undefined) return sent
    if (!isAwake) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, heartbeatSeconds * 1000)
      resume = resolve
      await promise
      clearTimeout(timer)
    }
    isAwake = false
    return isGone ? undefined : await source.take()
  }
  return new ReadableStream({
    async pull(controller) {
      const sent = await next()
      if (isGone) return
      controller.enqueue(encoder.encode(sent?.text ?? ': heartbeat\n\n'))
      if (!sent?.isEnd) return
      controller.close()
      source.stop()
    },
    cancel() {
      isGone = true
      source.stop()
      wake()
    },
  })
}

/** Responds with a stream of events. For a HEAD, Elysia would read the stream to its end. */
export function answerEvents(method: string, open: () => ReadableStream<Uint8Array<ArrayBuffer>>): Response {
  return new Response(method === 'HEAD' ? null : open(), {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
  })
}
