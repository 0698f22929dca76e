import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pageBuild } from '../../src/app/page.ts'
import { bundle, shell } from '../lib/bundle.ts'

const root = join(import.meta.dir, '..', '..')

/** What Bun lists among its versions because it offers their interfaces, not their code. */
const interfaces = ['bun', 'node', 'openssl', 'v8', 'uv', 'napi', 'modules', 'unicode', 'typescript']

/** An npm package whose code is in the executable. */
export interface Component {
  name: string
  version: string
  /** The SPDX expression of its package.json. */
  license: string
  /** Its licence files, one after the other. */
  text: string
}

/** Returns the packages whose code is in the executable, by name and version. */
export async function components(): Promise<Component[]> {
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
export function runtime(): { version: string; libraries: Record<string, string> } {
  const libraries = Object.entries(process.versions).filter(([name]) => !interfaces.includes(name))
  return { version: Bun.version, libraries: Object.fromEntries(libraries) as Record<string, string> }
}

/** Returns the SHA-256 of the file that names every npm package with its checksum, in hex. */
export function npmPackages(): string {
  return createHash('sha256')
    .update(readFileSync(join(root, 'bun.lock')))
    .digest('hex')
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
