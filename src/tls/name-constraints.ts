import { AsnConvert } from '@peculiar/asn1-schema'
import {
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  id_ce_nameConstraints,
  NameConstraints,
} from '@peculiar/asn1-x509'
import { Extension, X509Certificate } from '@peculiar/x509'
import type { CertificateNames } from './certificate-names.ts'

/** Domains of home and office networks, for which no public authority issues certificates. */
const PRIVATE = ['localhost', 'local', 'lan', 'internal', 'home.arpa']

/**
 * Returns the extension that limits an authority to these names and private ones (RFC 5280, 4.2.1.10). Whoever steals
 * its key cannot impersonate an internet site to the hosts that trust it. Addresses are not limited, because a host's
 * addresses change.
 */
export function nameConstraints({ dns }: CertificateNames): Extension {
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
