import { registryError, tooManyRequests } from '../../oci/error.ts'
import { answerFor } from '../problem/errors.ts'
import { isHost } from '../request/host.ts'
import type { AllowedHosts } from './allowed-hosts.ts'
import type { Arrival } from './arrival.ts'
import { needsLength, OutgoingBodies, withLength } from './outgoing-bodies.ts'

export interface FrontDoorOptions {
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
 * responses that are being sent (`OutgoingBodies`).
 *
 * Idle connections cannot be counted either, because Bun does not report a connection before its first request. Each
 * costs a file descriptor and a few hundred bytes until Bun closes it.
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
    const message = `${client} has ${max} requests in flight already: wait until some have ended`
    return tooManyRequests(message, 1)
  }

  private count(client: string | undefined, change: number): void {
    const count = (this.counts.get(client) ?? 0) + change
    if (count > 0) this.counts.set(client, count)
    else this.counts.delete(client)
  }

  private finish({ origin }: Arrival, response: Response): Response {
    const { hstsSeconds } = this.options
    if (hstsSeconds > 0 && origin().startsWith('https:')) {
      response.headers.set('strict-transport-security', `max-age=${hstsSeconds}`)
    }
    return response
  }
}

function invalid(message: string) {
  return registryError('REQUEST_INVALID', message)
}
