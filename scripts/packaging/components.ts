import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../../package.json'
import { pageBuild } from '../../src/app/page.ts'
import { bundle, commit, shell } from '../lib/bundle.ts'

const root = join(import.meta.dir, '..', '..')

/** What Bun lists among its versions because it offers their interfaces, not their code. */
const interfaces = ['bun', 'node', 'openssl', 'v8', 'uv', 'napi', 'modules', 'unicode', 'typescript']

/** An npm package whose code is in the executable. */
interface Component {
  name: string
  version: string
  /** The SPDX expression of its package.json. */
  license: string
  /** Its licence files, one after the other. */
  text: string
}

let listed: Promise<Component[]> | undefined

/** Returns the packages whose code is in the executable, by name and version. They are listed once, by a build. */
function components(): Promise<Component[]> {
  listed ??= listComponents()
  return listed
}

async function listComponents(): Promise<Component[]> {
  const builds = [await bundle(), pageBuild(shell)]
  const built = await Promise.all(builds.map((options) => Bun.build({ ...options, metafile: true })))
  const folders = new Set<string>()
  for (const path of built.flatMap(({ metafile }) => Object.keys(metafile?.inputs ?? {}))) {
    const [, folder] = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path) ?? []
    if (folder !== undefined) folders.add(folder)
  }
  const found = await Promise.all([...folders].sort().map((folder) => read(join(root, folder))))
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function read(folder: string): Promise<Component> {
  const { name, version, license } = await Bun.file(join(folder, 'package.json')).json()
  const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file)).sort()
  const texts = await Promise.all(files.map((file) => Bun.file(join(folder, file)).text()))
  return { name, version, license: license ?? 'NOASSERTION', text: texts.join('\n').trim() }
}

/** Returns the version of Bun and of the libraries in its runtime, which the executable contains. */
function runtime(): { version: string; libraries: Record<string, string> } {
  const libraries = Object.entries(process.versions).filter(([name]) => !interfaces.includes(name))
  return { version: Bun.version, libraries: Object.fromEntries(libraries) as Record<string, string> }
}

/** Returns the licences of cay, of the packages in the executable, and of its runtime. */
export async function licenseText(): Promise<string> {
  const parts = [
    `cay\n\n${await Bun.file(join(root, 'LICENSE')).text()}`,
    ...(await components()).map(
      ({ name, version, license, text }) =>
        `${name} ${version} (${license})\n\n${text || `The package has no licence file. Its licence is ${license}.`}`,
    ),
    `Bun ${runtime().version}\n\n${await runtimeLicense()}`,
  ]
  return parts.map((part) => `${part.trim()}\n`).join(`\n${'-'.repeat(80)}\n\n`)
}

/** Returns Bun's own page about the licences of its runtime. */
async function runtimeLicense(): Promise<string> {
  const path = join(root, 'node_modules', 'bun-types', 'docs', 'project', 'license.mdx')
  return (await Bun.file(path).text()).replace(/^---[\s\S]*?---\s*/, '')
}

/** A Debian package in the base of the image. */
export interface DebianPackage {
  name: string
  version: string
  architecture: string
  /** SHA-256 of the package, in hex. */
  sha256: string
}

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
    const purl = debianUrl(name, at, architecture)
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
  const hex = sha256Of(content)
  const variant = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16)
  return `urn:uuid:${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** The media type of in-toto statements, of which SLSA provenance is one. */
export const provenanceMediaType = 'application/vnd.in-toto+json'

/** Returns the SLSA provenance of an image: what it was built from, and by what. */
export async function provenanceOf(digest: string, packages: readonly DebianPackage[]): Promise<string> {
  const debian = packages.map(({ name, version, architecture, sha256 }) => ({
    uri: debianUrl(name, version, architecture),
    digest: { sha256 },
  }))
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'cay', digest: { sha256: digest.replace('sha256:', '') } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'urn:cay:image',
        externalParameters: { command: 'bun run image' },
        resolvedDependencies: [
          { uri: 'urn:cay:source', digest: { gitCommit: commit() } },
          { uri: `pkg:npm/bun@${Bun.version}` },
          { uri: 'bun.lock', digest: { sha256: sha256Of(await Bun.file(join(root, 'bun.lock')).bytes()) } },
          ...debian,
        ],
      },
      // The id stays the same, whatever file builds it.
      runDetails: { builder: { id: 'urn:cay:scripts/image.ts' } },
    },
  }
  return `${JSON.stringify(statement, undefined, 2)}\n`
}

function debianUrl(name: string, version: string, architecture: string): string {
  return `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`
}

/** Returns the SHA-256 of content, in hex. */
export function sha256Of(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}
