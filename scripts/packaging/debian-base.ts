import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { unpackTar } from 'modern-tar'
import { runCommand } from '../lib/command.ts'
import { downloadPackages } from './debian-packages.ts'
import type { Platform } from './platform.ts'
import type { Entry } from './tar.ts'

const suite = 'bookworm'

/** What the executable needs: its C library, the authorities of upstreams, and what names the system to scanners. */
const packageNames = ['base-files', 'ca-certificates', 'libc6']

/** What is left out: character sets, and everything that needs a shell. */
const unneeded =
  /^(usr\/(bin|sbin|share\/(?!doc\/[^/]+\/copyright$|ca-certificates\/))|usr\/lib\/[^/]+\/(gconv|audit)|etc\/(?!ca-certificates\.conf$|debian_version$)|var|home|root|boot|proc|sys|dev|run|tmp)/

/** A Debian package in the base of the image. */
export interface DebianPackage {
  name: string
  version: string
  architecture: string
  /** SHA-256 of the package, in hex. */
  sha256: string
}

/** The base of the image: the files of a few Debian packages, without a shell or a package manager. */
export interface DebianBase {
  packages: DebianPackage[]
  entries: Entry[]
}

/** Downloads the packages with apt, which verifies their signatures, and returns their files. */
export async function debianBase(platform: Platform): Promise<DebianBase> {
  const folder = await downloadPackages(suite, platform.architecture, packageNames)
  const found = (await readdir(folder)).filter((name) => name.endsWith('.deb')).sort()
  const base: DebianBase = { packages: [], entries: [...layout] }
  for (const name of found) {
    const path = join(folder, name)
    const control = await runCommand(['dpkg-deb', '--field', path])
    base.packages.push({ ...fieldsOf(control), sha256: hashOf(await Bun.file(path).bytes()) })
    base.entries.push(...(await filesOf(path)))
    // Scanners read which packages an image without dpkg has from here.
    base.entries.push({ path: `var/lib/dpkg/status.d/${fieldsOf(control).name}`, body: control })
  }
  const isAuthority = ({ path }: Entry) => path.endsWith('.crt')
  const bundle = bundleOf(base.entries.filter(isAuthority))
  return { ...base, entries: [...base.entries.filter((entry) => !isAuthority(entry)), bundle] }
}

const layout: Entry[] = [
  // Packages that were built before the merge of / and /usr need these links.
  ...['lib', 'lib64'].map((path) => ({ path, link: `usr/${path}` })),
  { path: 'etc/os-release', link: '../usr/lib/os-release' },
  { path: 'etc/nsswitch.conf', body: 'passwd: files\ngroup: files\nhosts: files dns\n' },
  // Where engines mount something: with a read-only root they cannot create these themselves.
  ...['dev', 'proc', 'run/secrets', 'sys'].map((path) => ({ path })),
  ...['tmp', 'var/tmp'].map((path) => ({ path, mode: 0o1777 })),
]

function fieldsOf(control: string) {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(control)?.[1] ?? ''
  return { name: field('Package'), version: field('Version'), architecture: field('Architecture') }
}

/** Returns the files of a package that the image needs, below /usr where a link leads there. */
async function filesOf(path: string): Promise<Entry[]> {
  const child = Bun.spawn(['dpkg-deb', '--fsys-tarfile', path], { stdout: 'pipe' })
  const archive = await child.stdout.bytes()
  const entries: Entry[] = []
  for (const { header, data } of await unpackTar(archive)) {
    const name = header.name.replace(/^\.\//, '').replace(/^(lib|lib64)\//, 'usr/$1/')
    if (unneeded.test(name)) continue
    if (header.type === 'symlink') entries.push({ path: name, link: header.linkname ?? '' })
    else if (header.type === 'file')
      entries.push({ path: name, body: data ?? '', mode: header.mode ?? 0o644 })
  }
  return entries
}

/** Returns the bundle that update-ca-certificates makes of these authorities. */
function bundleOf(authorities: readonly Entry[]): Entry {
  const certificates = authorities
    .toSorted((a, b) => (a.path < b.path ? -1 : 1))
    .map(({ body = '' }) => (typeof body === 'string' ? body : new TextDecoder().decode(body)))
  return { path: 'etc/ssl/certs/ca-certificates.crt', body: certificates.join('') }
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
