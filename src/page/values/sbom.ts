import { isObject, type Json } from '../../oci/image-config.ts'
/** A package that an SBOM lists. */
export interface SbomPackage {
  name: string
  version: string
  license: string
  /** Its address: a purl, or where it was downloaded. */
  source: string
}

/** How many packages of an SBOM are read. */
export const PACKAGES_MAX = 50_000

/** How deep an SBOM is searched for in its envelopes. */
const DEPTH_MAX = 3

/**
 * Returns the first packages of an SBOM in SPDX, CycloneDX or Syft JSON, also inside an in-toto statement and a DSSE
 * envelope; undefined if it is none of them.
 */
export function readSbom(text: string): SbomPackage[] | undefined {
  return packagesOf(parse(text), 0)
}

function packagesOf(document: Json | undefined, depth: number): SbomPackage[] | undefined {
  if (document === undefined || depth > DEPTH_MAX) return undefined
  if (typeof document.payload === 'string') return packagesOf(parse(decode(document.payload)), depth + 1)
  if (isObject(document.predicate)) return packagesOf(document.predicate, depth + 1)
  if (document.spdxVersion !== undefined) return packages(document.packages, fromSpdx)
  if (document.bomFormat === 'CycloneDX') return packages(document.components, fromCycloneDx)
  if (Array.isArray(document.artifacts)) return packages(document.artifacts, fromSyft)
  return undefined
}

function packages(list: unknown, from: (entry: Json) => SbomPackage): SbomPackage[] {
  return Array.isArray(list) ? records(list.slice(0, PACKAGES_MAX)).map(from) : []
}

function fromSpdx(entry: Json): SbomPackage {
  const references = records(entry.externalRefs)
  const purl = references.find(({ referenceType }) => referenceType === 'purl')?.referenceLocator
  const licenses = [entry.licenseConcluded, entry.licenseDeclared].map(String)
  return {
    name: textOf(entry.name),
    version: textOf(entry.versionInfo),
    license: licenses.find((license) => !['NOASSERTION', 'NONE', 'undefined'].includes(license)) ?? '',
    source: textOf(purl ?? entry.downloadLocation),
  }
}

function fromCycloneDx(entry: Json): SbomPackage {
  const licenses = records(entry.licenses).map(({ license, expression }) =>
    isObject(license) ? textOf(license.id ?? license.name) : textOf(expression),
  )
  return {
    name: [entry.group, entry.name]
      .map(textOf)
      .filter((part) => part !== '')
      .join('/'),
    version: textOf(entry.version),
    license: licenses.join(', '),
    source: textOf(entry.purl),
  }
}

function fromSyft(entry: Json): SbomPackage {
  const licenses = Array.isArray(entry.licenses) ? entry.licenses : []
  return {
    name: textOf(entry.name),
    version: textOf(entry.version),
    license: licenses.map((license) => textOf(isObject(license) ? license.value : license)).join(', '),
    source: textOf(entry.purl),
  }
}

function parse(text: string): Json | undefined {
  try {
    const document: unknown = JSON.parse(text)
    return isObject(document) ? document : undefined
  } catch {
    return undefined
  }
}

function decode(base64: string): string {
  try {
    const binary = atob(base64)
    const bytes = new Uint8Array(binary.length)
    // A callback for each byte would take seconds for a large document.
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index)
    return new TextDecoder().decode(bytes)
  } catch {
    return ''
  }
}

function records(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
