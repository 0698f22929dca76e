import { registryError } from '../../oci/error.ts'
import { answerFor } from '../problem/errors.ts'
import { isHost } from '../request/host.ts'
import type { AllowedHosts } from './allowed-hosts.ts'

export interface FrontDoorOptions {
  /** Requests in flight of one client. */
  requestsPerClientMax: number
  /** The hosts that a request may name; undefined where it may name any. */
  hosts: AllowedHosts | undefined
  /** For so long browsers are told to come by HTTPS only; 0 tells them nothing (RFC 6797). */
  hstsSeconds: number
}

/** A request, as the door has to know it. */
export interface Arrival {
  request: Request
  /** Who asks; undefined for a client that is not counted. Finding out costs more than many an answer does. */
  client: () => string | undefined
  /** Scheme, host and port by which the client reached this server. */
  origin: () => string
}

type Answer = (request: Request) => Response | Promise<Response>

/**
 * What every request passes before a surface sees it, so that none of them meets a request that the runtime should have
 * refused, or more requests of one client than it can have in flight.
 *
 * Connections cannot be counted: Bun tells nothing of one before its request. One without a request costs a descriptor
 * and a few hundred bytes until Bun closes it.
 */
export class FrontDoor {
  private readonly options: FrontDoorOptions
  private readonly inFlight = new Set<Arrival>()
  /** The last host that was valid: most requests name the same one. */
  private validHost = ''

  constructor(options: FrontDoorOptions) {
    this.options = options
  }

  /** Answers a request, or says why it is not let in. */
  async admit(arrival: Arrival, answer: Answer): Promise<Response> {
    const { request } = arrival
    const refused = this.refuse(request) ?? this.refuseMore(arrival)
    if (refused !== undefined) return this.finish(arrival, answerFor(refused, request))
    this.inFlight.add(arrival)
    try {
      return this.finish(arrival, await answer(request))
    } finally {
      this.inFlight.delete(arrival)
    }
  }

  private refuse({ headers, url }: Request) {
    const length = headers.get('content-length')
    // Bun joins several headers of a name, so two equal lengths are "27, 27" here.
    if (length !== null && !/^\d{1,15}$/.test(length)) {
      return invalid(`the Content-Length ${JSON.stringify(length.slice(0, 100))} is not one number`)
    }
    const host = headers.get('host') ?? ''
    if (host !== this.validHost && host !== '' && !isHost(host)) {
      return invalid(`the Host ${JSON.stringify(host.slice(0, 300))} is not one host`)
    }
    this.validHost = host
    if (!/^https?:/.test(url)) return invalid('the target of the request is not a path')
    if (this.options.hosts?.includes(host) === false) {
      return registryError(
        'DENIED',
        `${host} is not a name of this server, and access is open: use localhost, or add the name to the setting host`,
        { status: 421 },
      )
    }
    return undefined
  }

  /** While all clients together have no more in flight than one may have, nobody needs to be looked up. */
  private refuseMore(arrival: Arrival) {
    const { requestsPerClientMax: max } = this.options
    if (this.inFlight.size < max) return undefined
    const client = arrival.client()
    if (client === undefined) return undefined
    let count = 0
    for (const other of this.inFlight) if (other.client() === client) count++
    if (count < max) return undefined
    const message = `${client} has ${max} requests in flight already: wait for some of them`
    return registryError('TOOMANYREQUESTS', message, { headers: { 'retry-after': '1' } })
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
