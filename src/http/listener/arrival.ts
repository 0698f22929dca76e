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
