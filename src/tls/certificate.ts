import 'reflect-metadata'
import { AsnConvert } from '@peculiar/asn1-schema'
import {
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_nameConstraints,
  NameConstraints,
} from '@peculiar/asn1-x509'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'
import type { Credentials } from '../http/listener.ts'

// The generator's dependencies need the polyfill while they load, so it comes first. Everything that loads the generator
// goes through this file, so that it comes first in the executable, too.

/** The names and addresses that a certificate covers. */
export interface CertificateNames {
  dns: string[]
  addresses: string[]
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
): Promise<Credentials> {
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
  authority: Credentials,
  names: CertificateNames,
  now: number,
): Promise<Credentials> {
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

/** Domains of home and office networks, for which no public authority issues certificates. */
const PRIVATE = ['localhost', 'local', 'lan', 'internal', 'home.arpa']

/**
 * Returns the extension that limits an authority to these names and private ones (RFC 5280, 4.2.1.10). Whoever steals
 * its key cannot impersonate an internet site to the hosts that trust it. Addresses are not limited, because a host's
 * addresses change.
 */
function nameConstraints({ dns }: CertificateNames): Extension {
  const names = new Set([...PRIVATE, ...dns.map((name) => name.replace(/^\*\./, ''))])
  const subtrees = Array.from(names, (dNSName) => new GeneralSubtree({ base: new GeneralName({ dNSName }) }))
  const constraints = new NameConstraints({ permittedSubtrees: new GeneralSubtrees(subtrees) })
  return new Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints))
}

/** Splits names into those that an authority can sign for and the rest. Older authorities can sign for all names. */
export function permittedNames(
  authority: string,
  names: CertificateNames,
): { permitted: CertificateNames; refused: string[] } {
  const extension = new X509Certificate(authority).getExtension(id_ce_nameConstraints)
  if (extension === null) return { permitted: names, refused: [] }
  const { permittedSubtrees = [] } = AsnConvert.parse(extension.value, NameConstraints)
  const subtrees = permittedSubtrees.flatMap(({ base }) => base.dNSName ?? [])
  const isPermitted = (name: string) =>
    subtrees.some((subtree) => name === subtree || name.endsWith(`.${subtree}`))
  return {
    permitted: { ...names, dns: names.dns.filter(isPermitted) },
    refused: names.dns.filter((name) => !isPermitted(name)),
  }
}
