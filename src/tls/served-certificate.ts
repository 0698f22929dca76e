import type { Logger } from 'pino'
import type { Authority, Credentials } from '../domain/server-certificate.ts'

/** The certificate that a server presents. */
export interface Tls {
  /** Returns what new connections get now. */
  credentials(): Credentials
  /** Cay's own authority, if it issued the certificate. */
  authority: Authority | undefined
  /** Checks whether the certificate must be renewed or has changed, and calls `onChange` if so. */
  check(): Promise<void>
  close(): void
}

export interface TlsOptions {
  /** The data folder. */
  data: string
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** Called with what new connections get from now on. */
  onChange: (credentials: Credentials) => void
}
