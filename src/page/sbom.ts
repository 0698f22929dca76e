/** A package that an SBOM lists. */
export interface SbomPackage {
  name: string
  version: string
  license: string
  /** Its address: a purl, or where it was downloaded. */
  source: string
}

/** How deep an SBOM is searched for in its envelopes. */
const DEPTH_MAX = 3

/**
 * Returns the packages of an SBOM in SPDX, CycloneDX or Syft JSON, also inside an in-toto statement and a DSSE envelope;
 * undefined if it is none of them.
 */
export function readSbom(text: string, depth = 0): SbomPackage[] | undefined {
  const document = parse(text)
  if (document === undefined || depth > DEPTH_MAX) return undefined
  if (typeof document.payload === 'string') return readSbom(decode(document.payload), depth + 1)
  if (isRecord(document.predicate)) return readSbom(JSON.stringify(document.predicate), depth + 1)
  if (document.spdxVersion !== undefined) return records(document.packages).map(fromSpdx)
  if (document.bomFormat === 'CycloneDX') return records(document.components).map(fromCycloneDx)
  if (Array.isArray(document.artifacts)) return records(document.artifacts).map(fromSyft)
  return undefined
}

type Json = Record<string, unknown>

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
    isRecord(license) ? textOf(license.id ?? license.name) : textOf(expression),
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
    license: licenses.map((license) => textOf(isRecord(license) ? license.value : license)).join(', '),
    source: textOf(entry.purl),
  }
}

function parse(text: string): Json | undefined {
  try {
    const document: unknown = JSON.parse(text)
    return isRecord(document) ? document : undefined
  } catch {
    return undefined
  }
}

function decode(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)))
  } catch {
    return ''
  }
}

function records(value: unknown): Json[] {
  return Array.isArray(value) ? value.filter(isRecord) : []
}

function isRecord(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
