/** What a server shows and signs with: a certificate with its chain, and its key, both PEM. */
export interface Credentials {
  certificate: string
  key: string
}

/** The authority whose certificates this cay shows: what others need to trust it. Nothing here is secret. */
export interface Authority {
  /** The file with its certificate. */
  path: string
  /** PEM */
  certificate: string
  /** The SHA-256 of the certificate, as tools print it: pairs of hexadecimal digits with colons between. */
  fingerprint: string
}
