import { ConfigError } from './config-error.ts'
/** The setting `tls`: no TLS, a certificate of cay's own authority, or one from files. */
export type TlsChoice = { kind: 'off' } | { kind: 'auto' } | { kind: 'files'; files: CertificateFiles }

/** The paths of a certificate with its chain, and of its key; both are PEM. */
export interface CertificateFiles {
  certificate: string
  key: string
}

/** Parses the setting `tls`; undefined is off. Throws an Error that lists the choices. */
export function parseTlsChoice(text: string | undefined): TlsChoice {
  if (text === undefined || text === 'off') return { kind: 'off' }
  if (text === 'auto') return { kind: 'auto' }
  const [certificate, key, ...others] = text.split(',').map((path) => path.trim())
  if (certificate && key && others.length === 0) return { kind: 'files', files: { certificate, key } }
  throw new ConfigError(
    `tls is ${JSON.stringify(text)}: expected off, auto (cay creates a certificate), or CERTIFICATE.pem,KEY.pem`,
  )
}
