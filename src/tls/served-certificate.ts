import type { Logger } from 'pino'
import type { Authority, Credentials } from '../domain/server-certificate.ts'

/** What the server shows, and when that changes. */
export interface Tls {
  /** What new connections get now. */
  credentials(): Credentials
  /** Where it is cay's own: what others need to trust it. */
  authority: Authority | undefined
  /** Looks whether another certificate is needed, or there; tells `onChange`. */
  check(): Promise<void>
  close(): void
}

export interface TlsOptions {
  /** The data folder. */
  data: string
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** Called with what new connections are to get from now on. */
  onChange: (credentials: Credentials) => void
}
