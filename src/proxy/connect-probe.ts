import { connect } from 'node:net'
import { Deadline } from './deadline.ts'
import { UpstreamError } from './upstream-error.ts'

/** An endpoint that responded this recently is not probed, because its connections are still open. */
const KNOWN_MILLISECONDS = 30_000

/**
 * Adds a connect timeout, which Bun's fetch (1.4.5) does not have. The first request after a while opens and closes a
 * second connection to the same host. If that cannot connect in time, the request is aborted, so that the next mirror
 * can be tried.
 */
export class ConnectProbe {
  private readonly url: URL
  private readonly milliseconds: number
  private readonly monotonic: () => number
  private answeredAt = Number.NEGATIVE_INFINITY

  constructor(url: URL, milliseconds: number, monotonic: () => number) {
    this.url = url
    this.milliseconds = milliseconds
    this.monotonic = monotonic
  }

  /** Runs a request, with a signal that is aborted with an UpstreamError if the host cannot be connected to in time. */
  async guard<T>(signal: AbortSignal, request: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.monotonic() - this.answeredAt < KNOWN_MILLISECONDS) return await request(signal)
    const late = new UpstreamError('unavailable', `${this.url.host} does not answer in time`, {
      isTransport: true,
      isUnconnected: true,
      isTimeout: true,
    })
    const deadline = new Deadline(this.milliseconds, late)
    const socket = this.connect(() => deadline.extend(undefined))
    try {
      const result = await request(AbortSignal.any([signal, deadline.signal]))
      this.answeredAt = this.monotonic()
      return result
    } finally {
      deadline.extend(undefined)
      socket.destroy()
    }
  }

  /** Any outcome ends the wait. The request itself reports errors. */
  private connect(onOutcome: () => void) {
    const { protocol, hostname, port } = this.url
    const host = hostname.replace(/^\[|\]$/g, '')
    const socket = connect({ host, port: Number(port) || (protocol === 'https:' ? 443 : 80) })
    socket.on('error', onOutcome)
    socket.on('connect', () => {
      onOutcome()
      socket.destroy()
    })
    return socket
  }
}
