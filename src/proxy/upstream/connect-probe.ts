import { connect } from 'node:net'
import { LRUCache } from 'lru-cache'
import { Deadline } from './deadline.ts'
import { UpstreamError } from './upstream-error.ts'

/** A host that responded this recently is not probed, because its connections are still open. */
const KNOWN_MILLISECONDS = 30_000

/** How many hosts are remembered: the endpoint's, its token service's, and those of redirects. */
const HOSTS_MAX = 100

/**
 * Adds a connect timeout, which Bun's fetch (1.4.5) does not have. The first request to a host after a while opens and
 * closes a second connection to it. If that cannot connect in time, the request is aborted, so that the next mirror can
 * be tried.
 */
export class ConnectProbe {
  private readonly milliseconds: number
  private readonly monotonic: () => number
  private readonly answeredAt = new LRUCache<string, number>({ max: HOSTS_MAX })

  constructor(milliseconds: number, monotonic: () => number) {
    this.milliseconds = milliseconds
    this.monotonic = monotonic
  }

  /**
   * Runs a request, with a signal that is aborted with an UpstreamError if the host cannot be connected to in time.
   *
   * @param name the host, for people
   */
  async guard<T>(
    url: URL,
    name: string,
    signal: AbortSignal,
    request: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const answeredAt = this.answeredAt.get(url.host)
    if (answeredAt !== undefined && this.monotonic() - answeredAt < KNOWN_MILLISECONDS)
      return await request(signal)
    const late = new UpstreamError('unavailable', `${name} does not answer in time`, {
      isTransport: true,
      isUnconnected: true,
      isTimeout: true,
    })
    const deadline = new Deadline(this.milliseconds, late)
    const socket = probe(url, () => deadline.extend(undefined))
    try {
      const result = await request(AbortSignal.any([signal, deadline.signal]))
      this.answeredAt.set(url.host, this.monotonic())
      return result
    } finally {
      deadline.extend(undefined)
      socket.destroy()
    }
  }
}

/** Opens and closes a connection. Any outcome ends the wait. The request itself reports errors. */
function probe({ protocol, hostname, port }: URL, onOutcome: () => void) {
  const host = hostname.replace(/^\[|\]$/g, '')
  const socket = connect({ host, port: Number(port) || (protocol === 'https:' ? 443 : 80) })
  socket.on('error', onOutcome)
  socket.on('connect', () => {
    onOutcome()
    socket.destroy()
  })
  return socket
}
