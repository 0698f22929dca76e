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

/** Names that no public authority signs, and that hosts of a home or an office have. */
const PRIVATE = ['localhost', 'local', 'lan', 'internal', 'home.arpa']

/**
 * The extension by which an authority can sign only for these names and for private ones (RFC 5280, 4.2.1.10): with its
 * key nobody can pretend to be a site on the internet to the hosts that trust it. Addresses are not limited, as those of
 * a host change.
 */
export function nameConstraints({ dns }: CertificateNames): Extension {
  const names = new Set([...PRIVATE, ...dns.map((name) => name.replace(/^\*\./, ''))])
  const subtrees = Array.from(names, (dNSName) => new GeneralSubtree({ base: new GeneralName({ dNSName }) }))
  const constraints = new NameConstraints({ permittedSubtrees: new GeneralSubtrees(subtrees) })
  return new Extension(id_ce_nameConstraints, true, AsnConvert.serialize(constraints))
}

/** Those of the names that an authority can sign for, and the others. An authority from before can sign for all. */
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
