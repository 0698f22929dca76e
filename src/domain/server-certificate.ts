/** A server's certificate with its chain, and its key, both PEM. */
export interface Credentials {
  certificate: string
  key: string
}

/** The authority that issued this server's certificate, for clients to trust. Nothing here is secret. */
export interface Authority {
  /** The file with its certificate. */
  path: string
  /** PEM */
  certificate: string
  /** The SHA-256 of the certificate as tools print it: pairs of hexadecimal digits separated by colons. */
  fingerprint: string
}
