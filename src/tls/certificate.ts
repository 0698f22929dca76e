// The generator's dependencies look for this while they load, so it comes first.
import 'reflect-metadata'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { CertificateNames } from './certificate-names.ts'
import { nameConstraints } from './name-constraints.ts'

// One file is the way to all that loads the generator, so that its polyfill comes first in the executable, too.
export { permittedNames } from './name-constraints.ts'

/** A certificate and its private key (PKCS #8), both PEM. */
export interface IssuedCertificate {
  certificate: string
  key: string
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const DAY = 86_400_000
const HOUR = 3_600_000
const AUTHORITY_DAYS = 3650

/** Clients refuse a server's certificate that holds longer than 398 days. */
const SERVER_DAYS = 397

/** Authorities are valid from before cay's first release on, so a clock that was ahead does not delay them. */
const AUTHORITY_BEGIN = new Date(Date.UTC(2026, 0, 1))

/**
 * Makes a root authority that can sign servers' certificates only, for ten years.
 *
 * @param hostname whom its subject names, so that a person knows it again in a list of authorities
 * @param names what it will sign for, besides private names
 * @param now milliseconds since 1970
 */
export async function makeAuthority(
  hostname: string,
  names: CertificateNames,
  now: number,
): Promise<IssuedCertificate> {
  const keys = await makeKeys()
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ O: ['cay'] }, { CN: [`cay on ${hostname}`.slice(0, 64)] }],
    notBefore: AUTHORITY_BEGIN,
    notAfter: new Date(now + AUTHORITY_DAYS * DAY),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      nameConstraints(names),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  return { certificate: pem(certificate), key: await privatePem(keys.privateKey) }
}

/**
 * Makes a server's certificate, for 397 days or for as long as its authority is valid.
 *
 * @param now milliseconds since 1970
 */
export async function issueCertificate(
  authority: IssuedCertificate,
  names: CertificateNames,
  now: number,
): Promise<IssuedCertificate> {
  const keys = await makeKeys()
  const issuer = new X509Certificate(authority.certificate)
  const end = now - HOUR + SERVER_DAYS * DAY
  const issuerEnd = issuer.notAfter.getTime()
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ O: ['cay'] }, { CN: [(names.dns.at(1) ?? 'localhost').slice(0, 64)] }],
    issuer: issuer.subjectName.toJSON(),
    notBefore: new Date(now - HOUR),
    notAfter: new Date(issuerEnd > now ? Math.min(end, issuerEnd) : end),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: await importKey(authority.key),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      new SubjectAlternativeNameExtension([
        ...names.dns.map((value) => ({ type: 'dns' as const, value })),
        ...names.addresses.map((value) => ({ type: 'ip' as const, value })),
      ]),
    ],
  })
  return { certificate: pem(certificate), key: await privatePem(keys.privateKey) }
}

function makeKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
}

function importKey(text: string): Promise<CryptoKey> {
  return crypto.subtle.importKey('pkcs8', PemConverter.decodeFirst(text), ALGORITHM, false, ['sign'])
}

async function privatePem(key: CryptoKey): Promise<string> {
  return `${PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}

/** Random, positive, and of the same length always. */
function serialNumber(): string {
  return `4${Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
    .toString('hex')
    .slice(1)}`
}
