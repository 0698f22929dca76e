import { isIP } from 'node:net'
import { type RegistryError, registryError, tooManyRequests } from '../oci/error.ts'
import { isHost } from './origin.ts'
import { answerFor } from './problem.ts'

interface FrontDoorOptions {
  /** How many requests one client may have in flight. */
  requestsPerClientMax: number
  /** The hosts that a request may name; undefined allows any. */
  hosts: AllowedHosts | undefined
  /** How long browsers must use HTTPS only (RFC 6797); 0 sends no such header. */
  hstsSeconds: number
}

type Answer = (request: Request) => Response | Promise<Response>

/**
 * Checks every request before a surface sees it: refuses those that the runtime should have refused, and those of a
 * client that has too many in flight. A request is in flight until its response begins. Then it counts among the
 * responses that are being sent (`OutgoingBodies`). Idle connections cannot be counted, because Bun does not report a
 * connection before its first request. Each costs a file descriptor and a few hundred bytes until Bun closes it.
 */
export class FrontDoor {
  private readonly options: FrontDoorOptions
  /** Requests in flight whose clients are not known yet. */
  private readonly unidentified = new Set<Arrival>()
  /** The number of other requests in flight by client. */
  private readonly counts = new Map<string | undefined, number>()
  private inFlight = 0
  private readonly outgoing: OutgoingBodies
  /** The last host that was allowed. Most requests name the same one. */
  private allowedHost: string | undefined

  constructor(options: FrontDoorOptions) {
    this.options = options
    this.outgoing = new OutgoingBodies(2 * options.requestsPerClientMax)
  }

  /** Passes the request to `answer`, or responds with the reason why it is refused. */
  async admit(arrival: Arrival, answer: Answer): Promise<Response> {
    const { request } = arrival
    const refused = this.refuse(request) ?? this.refuseMore(arrival) ?? this.outgoing.check(arrival)
    if (refused !== undefined) return this.finish(arrival, answerFor(refused, request))
    this.inFlight++
    this.unidentified.add(arrival)
    try {
      const answered = await answer(request)
      const response = needsLength(answered, request) ? await withLength(answered) : answered
      const refused = this.outgoing.begin(arrival, response)
      if (refused === undefined) return this.finish(arrival, response)
      await response.body?.cancel()
      return this.finish(arrival, answerFor(refused, request))
    } finally {
      this.inFlight--
      if (!this.unidentified.delete(arrival)) this.count(arrival.client(), -1)
    }
  }

  /**
   * Checks a request that had to wait, before anything large is read for it.
   * @throws RegistryError TOOMANYREQUESTS if its client is now at the limit of responses that are being sent
   */
  checkAgain(arrival: Arrival): void {
    const refused = this.outgoing.check(arrival)
    if (refused !== undefined) throw refused
  }

  /**
   * Checks a request that had to wait, before a response of so many bytes is read for it.
   * @throws RegistryError REQUEST_INVALID if its client has disconnected, or TOOMANYREQUESTS if no more can be sent now
   */
  checkLarge(arrival: Arrival, bytes: number): void {
    if (!arrival.isOpen()) throw invalid('the client has disconnected')
    const refused = this.outgoing.check(arrival) ?? this.outgoing.checkSize(arrival, bytes)
    if (refused !== undefined) throw refused
  }

  /** Forgets the requests whose responses have been sent. */
  releaseMemory(): void {
    this.outgoing.releaseMemory()
  }

  private refuse({ headers, url }: Request) {
    const length = headers.get('content-length')
    // Bun joins several headers of a name, so two equal lengths are "27, 27" here.
    if (length !== null && !/^\d{1,15}$/.test(length)) {
      return invalid(`the Content-Length ${JSON.stringify(length.slice(0, 100))} is not one number`)
    }
    if (!/^https?:/.test(url)) return invalid('the target of the request is not a path')
    const host = headers.get('host') ?? ''
    if (host === this.allowedHost) return undefined
    if (host !== '' && !isHost(host)) {
      return invalid(`the Host ${JSON.stringify(host.slice(0, 300))} is not one host`)
    }
    if (this.options.hosts?.includes(host) === false) {
      return registryError(
        'DENIED',
        `${host} is not a name of this server, and access is open: use localhost, or add the name to the setting host`,
        { status: 421 },
      )
    }
    this.allowedHost = host
    return undefined
  }

  /** Identifies no client as long as all of them together have no more in flight than one may have. */
  private refuseMore(arrival: Arrival) {
    const { requestsPerClientMax: max } = this.options
    if (this.inFlight < max) return undefined
    for (const other of this.unidentified) this.count(other.client(), 1)
    this.unidentified.clear()
    const client = arrival.client()
    if (client === undefined || (this.counts.get(client) ?? 0) < max) return undefined
    return tooManyRequests(`${client} has ${max} requests in flight already: wait until some have ended`, 1)
  }

  private count(client: string | undefined, change: number): void {
    const count = (this.counts.get(client) ?? 0) + change
    if (count > 0) this.counts.set(client, count)
    else this.counts.delete(client)
  }

  private finish({ origin }: Arrival, response: Response): Response {
    const { hstsSeconds } = this.options
    if (hstsSeconds > 0 && origin().startsWith('https:'))
      response.headers.set('strict-transport-security', `max-age=${hstsSeconds}`)
    return response
  }
}

const invalid = (message: string) => registryError('REQUEST_INVALID', message)

/** A request, as the front door sees it. */
export interface Arrival {
  request: Request
  /** Returns the client; undefined for one that is not counted. The first call costs more than many responses do. */
  client: () => string | undefined
  /** Returns the scheme, host and port that the client used to reach this server. */
  origin: () => string
  /** Reports whether the response has not been sent completely yet, and the client is still connected. */
  isOpen: () => boolean
}

/**
 * The hosts that a request may name when access is open: loopback and the configured names. This stops DNS rebinding.
 * Another site can point its own name at 127.0.0.1, which makes its scripts same-origin, but the browser then sends
 * that name as the Host.
 */
export class AllowedHosts {
  private readonly names: ReadonlySet<string>

  constructor(names: string[]) {
    this.names = new Set(names.map(nameOf))
  }

  includes(host: string): boolean {
    const name = nameOf(host)
    if (name === '' || name === 'localhost' || name.endsWith('.localhost')) return true
    return name === '::1' || (isIP(name) === 4 && name.startsWith('127.')) || this.names.has(name)
  }
}

/** Returns the host without its port and without the brackets of IPv6. */
function nameOf(host: string): string {
  const bracketed = /^\[(.*)\](?::\d*)?$/.exec(host)?.[1]
  return (bracketed ?? (isIP(host) === 6 ? host : host.replace(/:\d*$/, ''))).toLowerCase()
}

const MiB = 1024 * 1024

/** The memory for bodies that are being sent, per client and in total, in bytes. Parts of files take none. */
const CLIENT_BYTES_MAX = 32 * MiB
const ALL_BYTES_MAX = 128 * MiB

/** A smaller body fits into the socket's buffer, so its response ends at once and is not recorded. */
const BUFFERED_BYTES_MIN = 16 * 1024

/** How many responses are recorded before ended ones are looked for. */
const RECORDED_MIN = 64

/** After each look, this many further responses per open one are recorded or refused before the next look. */
const PER_OPEN_MIN = 1 / 8

/** How many paths that were refused at the total limit are remembered, and their longest one in characters. */
const REFUSED_PATHS_MAX = 1024
const REFUSED_PATH_LENGTH_MAX = 1024

/** What can have a large body in memory: not blobs, and neither sign-ins nor the checks of health. */
const LARGE_PATH = /^\/(?:v1|v2|api)\/(?!.*\/blobs\/)./

interface Sending {
  arrival: Arrival
  /** Its memory in bytes. */
  bytes: number
}

/** What one client is being sent. */
interface Held {
  bytes: number
  count: number
}

/**
 * Counts the responses that are being sent, because a client can request many and read none of them. Bun (1.4.5) does
 * not report how much of a response has been sent, so a minimum rate cannot be enforced, nor when it has ended. The only
 * sign of the end is that Bun no longer knows the client's address. That lookup is slow, so ended responses are removed
 * only when many have been recorded.
 */
export class OutgoingBodies {
  private readonly perClientMax: number
  /** Some of them may have ended. */
  private sending: Sending[] = []
  private bytes = 0
  private recordedMax = RECORDED_MIN
  /** Responses until the next look is allowed. */
  private untilLook = 0
  /** Clients that were refused a response, with what they were being sent then, until some of it has been read. */
  private readonly full = new Map<string, Held>()
  /**
   * Clients with the paths that were refused at the total limit, until others have read a response. By client, so that a
   * refusal does not tell others what exists. By path, so that a client can still request small responses.
   */
  private readonly refused = new Set<string>()
  /** The memory of all responses in progress at the last refusal at the total limit, in bytes. */
  private refusedAtBytes = 0

  /** @param perClientMax how many responses one client may be sent at once */
  constructor(perClientMax: number) {
    this.perClientMax = perClientMax
  }

  /**
   * Refuses a request whose response may be large before anything is read for it, while its client is at its limit, or
   * while all are at the total limit and this response was refused before. Returns the error to send instead.
   */
  check(arrival: Arrival): RegistryError | undefined {
    const { full, refused } = this
    if (full.size === 0 && refused.size === 0) return undefined
    const { request } = arrival
    if (request.method !== 'GET' || !LARGE_PATH.test(pathOf(request))) return undefined
    const client = arrival.client()
    if (client === undefined) return undefined
    const path = `${client} ${pathOf(request)}`
    if (!full.has(client) && !refused.has(path)) return undefined
    if (--this.untilLook <= 0) this.releaseMemory()
    const held = full.get(client)
    if (held !== undefined) return tooMuch(client, held.count)
    return refused.has(path) ? tooMuchInTotal() : undefined
  }

  /** Records a response that is about to be sent. Returns the error to send instead if there are too many. */
  begin(arrival: Arrival, response: Response): RegistryError | undefined {
    if (isBuffered(response, arrival.request)) return undefined
    const bytes = memoryOf(response)
    const error = this.checkSize(arrival, bytes)
    if (error !== undefined) return error
    this.sending.push({ arrival, bytes })
    this.bytes += bytes
    return undefined
  }

  /** Returns the error to send instead of a response that takes so many bytes of memory if there are too many. */
  checkSize(arrival: Arrival, bytes: number): RegistryError | undefined {
    this.untilLook--
    const isMuch = bytes > 0 && this.bytes + bytes > CLIENT_BYTES_MAX
    if (!isMuch && this.sending.length < this.recordedMax) return undefined
    if (this.untilLook <= 0) this.releaseMemory()
    return this.refuse(arrival, bytes)
  }

  /** Looks for responses that have ended, and forgets them. */
  releaseMemory(): void {
    this.sending = this.sending.filter(({ arrival }) => arrival.isOpen())
    this.bytes = this.sending.reduce((all, { bytes }) => all + bytes, 0)
    if (this.bytes < this.refusedAtBytes) this.refused.clear()
    const { length } = this.sending
    const byClient = heldByClient(this.sending)
    const most = Math.max(0, ...byClient.values().map(({ count }) => count))
    for (const [client, { bytes, count }] of this.full) {
      const now = byClient.get(client)
      if (now === undefined || now.bytes < bytes || now.count < count) this.full.delete(client)
    }
    this.recordedMax = Math.max(RECORDED_MIN, length + Math.min(length, this.perClientMax - most))
    this.untilLook = length * PER_OPEN_MIN
  }

  private refuse(arrival: Arrival, bytes: number): RegistryError | undefined {
    const client = arrival.client()
    if (bytes > 0 && this.bytes + bytes > ALL_BYTES_MAX) {
      if (client !== undefined) this.rememberRefused(client, pathOf(arrival.request))
      return tooMuchInTotal()
    }
    if (client === undefined) return undefined
    const held = heldByClient(this.sending).get(client) ?? { bytes: 0, count: 0 }
    if (held.count < this.perClientMax && (bytes === 0 || held.bytes + bytes <= CLIENT_BYTES_MAX))
      return undefined
    this.full.set(client, held)
    return tooMuch(client, held.count)
  }

  private rememberRefused(client: string, path: string): void {
    const { refused } = this
    this.refusedAtBytes = this.bytes
    if (refused.size < REFUSED_PATHS_MAX && path.length <= REFUSED_PATH_LENGTH_MAX)
      refused.add(`${client} ${path}`)
  }
}

function tooMuch(client: string, count: number): RegistryError {
  return tooManyRequests(`${count} responses are being sent to ${client} already: read some of them first`, 1)
}

function tooMuchInTotal(): RegistryError {
  return tooManyRequests('too many large responses are being sent: try again soon', 5, 503)
}

/** Returns the path of a request with its query. */
function pathOf({ url }: Request): string {
  return url.slice(url.indexOf('/', url.indexOf('//') + 2))
}

function heldByClient(sending: Sending[]): Map<string, Held> {
  const all = new Map<string, Held>()
  for (const { arrival, bytes } of sending) {
    const client = arrival.client()
    if (client === undefined) continue
    const held = all.get(client) ?? { bytes: 0, count: 0 }
    if (held.count === 0) all.set(client, held)
    held.bytes += bytes
    held.count++
  }
  return all
}

/** Reports whether the size of the body has to be measured, because its handler did not set a Content-Length. */
function needsLength({ status, headers }: Response, { method }: Request): boolean {
  if (status !== 200 || method === 'HEAD' || headers.has('content-length')) return false
  return headers.get('content-type') !== 'text/event-stream'
}

/** Returns the response with a Content-Length. */
async function withLength(response: Response): Promise<Response> {
  const { status, headers } = response
  const body = await response.blob()
  headers.set('content-length', String(body.size))
  return new Response(body, { status, headers })
}

/** Reports whether the whole response fits into the socket's buffer. */
function isBuffered({ status, headers }: Response, { method }: Request): boolean {
  const length = headers.get('content-length')
  return method === 'HEAD' || (length === null ? status !== 200 : Number(length) < BUFFERED_BYTES_MIN)
}

/** Parts of files, which only blobs have, take no memory. */
function memoryOf({ headers }: Response): number {
  return headers.has('accept-ranges') ? 0 : Number(headers.get('content-length') ?? 0)
}
