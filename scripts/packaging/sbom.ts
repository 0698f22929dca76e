import { createHash } from 'node:crypto'
import { version } from '../../package.json'
import { components, runtime } from './components.ts'
import type { DebianPackage } from './debian-base.ts'

/** The media type of CycloneDX in JSON. */
export const sbomMediaType = 'application/vnd.cyclonedx+json'

/**
 * Returns the CycloneDX SBOM of the executable: the npm packages in it, its runtime, and the libraries in that. With
 * Debian packages, it is that of the container image.
 *
 * @param seconds when it was created, in seconds since 1970
 */
export async function sbomOf(seconds: number, packages: readonly DebianPackage[] = []): Promise<string> {
  const bun = runtime()
  const libraries = Object.entries(bun.libraries).map(([name, at]) => ({
    type: 'library',
    'bom-ref': `bun/${name}`,
    name,
    version: at,
  }))
  const bundled = (await components()).map(({ name, version: at, license }) => ({
    type: 'library',
    'bom-ref': npm(name, at),
    name,
    version: at,
    purl: npm(name, at),
    licenses: [isExpression(license) ? { expression: license } : { license: { id: license } }],
  }))
  const debian = packages.map(({ name, version: at, architecture, sha256 }) => {
    const purl = `pkg:deb/debian/${name}@${encodeURIComponent(at)}?arch=${architecture}`
    const hashes = [{ alg: 'SHA-256', content: sha256 }]
    return { type: 'library', 'bom-ref': purl, name, version: at, purl, hashes }
  })
  const cay = `pkg:generic/cay@${version}`
  const parts = [
    ...bundled,
    {
      type: 'platform',
      'bom-ref': npm('bun', bun.version),
      name: 'bun',
      version: bun.version,
      purl: npm('bun', bun.version),
      licenses: [{ license: { id: 'MIT' } }],
      components: libraries,
    },
    ...debian,
  ]
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: serialOf(JSON.stringify([cay, seconds, parts])),
    version: 1,
    metadata: {
      timestamp: new Date(seconds * 1000).toISOString(),
      component: {
        type: packages.length > 0 ? 'container' : 'application',
        'bom-ref': cay,
        name: 'cay',
        version,
        purl: cay,
        licenses: [{ license: { id: 'Apache-2.0' } }],
      },
    },
    components: parts,
    dependencies: [{ ref: cay, dependsOn: parts.map((part) => part['bom-ref']) }],
  }
  return `${JSON.stringify(bom, undefined, 2)}\n`
}

function npm(name: string, version: string): string {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`
}

function isExpression(license: string): boolean {
  return license.includes(' ')
}

/** Returns a UUID that depends only on the content, so that the same content gives the same document. */
function serialOf(content: string): string {
  const hex = createHash('sha256').update(content).digest('hex')
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16)
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
