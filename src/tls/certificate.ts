// The generator's dependencies need this polyfill while they load, so it comes first.
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

// Everything that loads the generator goes through this file, so that the polyfill comes first in the executable, too.
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

/** Clients refuse a server certificate that is valid for more than 398 days. */
const SERVER_DAYS = 397

/** Authorities are valid from before cay's first release, so that a clock that was ahead does no harm. */
const AUTHORITY_BEGIN = new Date(Date.UTC(2026, 0, 1))

/**
 * Creates a root authority, valid for ten years, that can sign only server certificates.
 *
 * @param hostname part of its subject, so that people recognize it in a list of authorities
 * @param names what it may sign for, in addition to private names
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
 * Issues a server certificate for 397 days, or until its authority expires if that is sooner.
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

/** Returns a random, positive serial number of fixed length. */
function serialNumber(): string {
  return `4${Buffer.from(crypto.getRandomValues(new Uint8Array(16)))
    .toString('hex')
    .slice(1)}`
}
