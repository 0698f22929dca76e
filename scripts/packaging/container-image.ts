import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { packTar, type TarEntry, unpackTar } from 'modern-tar'
import { description, license, version } from '../../package.json'
import { commit } from '../lib/bundle.ts'
import { runCommand } from '../lib/command.ts'
import {
  type Content,
  type Descriptor,
  encode,
  makeIndex,
  packArtifact,
  packImage,
  sha256,
  writeLayout,
} from '../lib/image.ts'
import { cacheFolder } from '../toolchain/toolchain.ts'
import {
  type DebianPackage,
  licenseText,
  provenanceMediaType,
  provenanceOf,
  sbomMediaType,
  sbomOf,
  sha256Of,
} from './components.ts'
import { compileReleased, type Platform, platforms, releaseFolder, sourceSeconds } from './platform.ts'

/** The user that runs cay in the image. */
const user = 65_532
const data = '/var/lib/cay'

/** What the executable needs: its C library, the authorities of upstreams, and what names the system to scanners. */
const packageNames = ['base-files', 'ca-certificates', 'libc6']

/** What is left out: character sets, and everything that needs a shell. */
const unneeded =
  /^(usr\/(bin|sbin|share\/(?!doc\/[^/]+\/copyright$|ca-certificates\/))|usr\/lib\/[^/]+\/(gconv|audit)|etc\/(?!ca-certificates\.conf$|debian_version$)|var|home|root|boot|proc|sys|dev|run|tmp)/

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
const mirror = 'http://deb.debian.org'

/** `image`: builds the container image of all platforms, and writes it to dist/image, an OCI image layout. */
export async function image(): Promise<void> {
  await compileReleased(platforms.map(({ executable }) => executable))
  const layout = join(releaseFolder, '..', 'image')
  console.log(`oci:${await buildImage(layout)}:${version}`)
}

/** Writes the image of the executables of a folder to an OCI layout, and returns the layout. */
export async function buildImage(layout: string, executables = releaseFolder): Promise<string> {
  const [images, referrers]: [Content[], Content[]] = [[], []]
  for (const platform of platforms) {
    const base = await debianBase(platform)
    const executable = await Bun.file(join(executables, platform.executable)).bytes()
    const own = [
      { path: 'usr/bin/cay', body: executable, mode: 0o755 },
      { path: 'usr/share/doc/cay/copyright', body: await licenseText() },
      { path: data.slice(1), mode: 0o700, owner: user },
    ]
    const built = imageOf(platform, [await tarOf([...base.entries, ...account], 0), await tarOf(own, 0)])
    images.push(built)
    referrers.push(...(await describe(built.descriptor, base.packages)))
  }
  await rm(layout, { recursive: true, force: true })
  await writeLayout(layout, makeIndex(images), version, referrers)
  return layout
}

const account: Entry[] = [
  { path: 'etc/passwd', body: `root:x:0:0::/:/none\ncay:x:${user}:${user}::${data}:/none\n` },
  { path: 'etc/group', body: `root:x:0:\ncay:x:${user}:\n` },
]

function imageOf({ architecture }: Platform, layers: Uint8Array[]): Content {
  const created = new Date(sourceSeconds() * 1000).toISOString()
  const config = encode({
    created,
    architecture,
    os: 'linux',
    config: {
      User: `${user}:${user}`,
      ExposedPorts: { '5000/tcp': {} },
      Env: ['PATH=/usr/bin', 'CAY_CONTAINER=true'],
      Entrypoint: ['cay'],
      Cmd: ['serve'],
      Volumes: { [data]: {} },
      WorkingDir: data,
      Labels: {
        'org.opencontainers.image.title': 'cay',
        'org.opencontainers.image.description': description,
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.revision': commit(),
        'org.opencontainers.image.created': created,
        'org.opencontainers.image.licenses': license,
      },
      Healthcheck: {
        Test: ['CMD', 'cay', 'health'],
        Interval: 30e9,
        Timeout: 10e9,
        StartPeriod: 60e9,
        Retries: 3,
      },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    history: ['Debian packages', 'cay'].map((created_by) => ({ created, created_by })),
  })
  const compressed = layers.map((layer) => Bun.gzipSync(Buffer.from(layer)))
  return packImage(config, compressed, { os: 'linux', architecture })
}

/** Returns the SBOM and the provenance of an image, which refer to it. */
async function describe(image: Descriptor, packages: DebianPackage[]): Promise<Content[]> {
  const document = (mediaType: string, text: string) =>
    packArtifact(mediaType, { mediaType, bytes: new TextEncoder().encode(text) }, image)
  return [
    document(sbomMediaType, await sbomOf(sourceSeconds(), packages)),
    document(provenanceMediaType, await provenanceOf(image.digest, packages)),
  ]
}

/**
 * Downloads the packages of the base with apt, which verifies their signatures, and returns their files, without a shell
 * or a package manager.
 */
async function debianBase(platform: Platform) {
  const folder = await downloadPackages('bookworm', platform.architecture, packageNames)
  const found = (await readdir(folder)).filter((name) => name.endsWith('.deb')).sort()
  const packages: DebianPackage[] = []
  const entries = [...layout]
  for (const name of found) {
    const path = join(folder, name)
    const control = await runCommand(['dpkg-deb', '--field', path])
    packages.push({ ...fieldsOf(control), sha256: sha256Of(await Bun.file(path).bytes()) })
    entries.push(...(await filesOf(path)))
    // Scanners read which packages an image without dpkg has from here.
    entries.push({ path: `var/lib/dpkg/status.d/${fieldsOf(control).name}`, body: control })
  }
  const isAuthority = ({ path }: Entry) => path.endsWith('.crt')
  const bundle = bundleOf(entries.filter(isAuthority))
  return { packages, entries: [...entries.filter((entry) => !isAuthority(entry)), bundle] }
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

/**
 * Downloads the newest version of packages of a suite of Debian, for any architecture, and returns the folder of the .deb
 * files. apt verifies them, and keeps its state in a folder of the cache.
 */
export async function downloadPackages(
  suite: string,
  architecture: string,
  names: readonly string[],
): Promise<string> {
  const folder = join(cacheFolder(), `debian-${suite}-${architecture}`)
  const packages = join(folder, 'packages')
  const settings = join(folder, 'apt.conf')
  await rm(packages, { recursive: true, force: true })
  for (const path of ['lists/partial', 'archives/partial', 'packages']) {
    await mkdir(join(folder, path), { recursive: true })
  }
  const archives = [`debian ${suite}`, `debian ${suite}-updates`, `debian-security ${suite}-security`]
  const sources = archives.map((archive) => `deb [signed-by=${keyring}] ${mirror}/${archive} main\n`)
  await Bun.write(join(folder, 'sources.list'), sources.join(''))
  await Bun.write(join(folder, 'status'), '')
  await Bun.write(settings, settingsOf(folder, architecture))
  const env = { ...process.env, APT_CONFIG: settings }
  await runCommand(['apt-get', 'update'], { env })
  await runCommand(['apt-get', 'download', ...names], { env, cwd: packages })
  return packages
}

/** Returns settings with which apt neither reads nor writes anything of this host. */
function settingsOf(folder: string, architecture: string): string {
  return `#clear APT::Architectures;
APT::Architecture "${architecture}";
APT::Architectures { "${architecture}"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "${folder}";
Dir::State::lists "${folder}/lists";
Dir::State::status "${folder}/status";
Dir::Cache "${folder}";
Dir::Etc::sourcelist "${folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
`
}

/** A file, folder or symbolic link of an archive. */
interface Entry {
  /** Relative to the root, without a leading slash. */
  path: string
  /** The content of a file. */
  body?: string | Uint8Array
  /** The target of a symbolic link. */
  link?: string
  /** Permissions; by default 0644, for folders 0755, and for links 0777. */
  mode?: number
  /** The user and group that own it; by default root. */
  owner?: number
}

/**
 * Returns an uncompressed archive of the entries, in order of their paths, with the folders that they need. The same
 * entries always give the same bytes.
 *
 * @param seconds the time of all entries, in seconds since 1970
 */
export async function tarOf(entries: readonly Entry[], seconds: number): Promise<Uint8Array> {
  const byPath = new Map<string, Entry>()
  for (const entry of entries) {
    const parts = entry.path.split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join('/')
      if (!byPath.has(path)) byPath.set(path, { path })
    }
    byPath.set(entry.path, entry)
  }
  const sorted = [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  return await packTar(sorted.map((entry) => header(entry, new Date(seconds * 1000))))
}

function header({ path, body, link, mode, owner = 0 }: Entry, mtime: Date): TarEntry {
  const common = { mtime, uid: owner, gid: owner, uname: '', gname: '' }
  if (link !== undefined) {
    return {
      header: { ...common, name: path, size: 0, type: 'symlink', linkname: link, mode: mode ?? 0o777 },
    }
  }
  if (body === undefined) {
    return { header: { ...common, name: `${path}/`, size: 0, type: 'directory', mode: mode ?? 0o755 } }
  }
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  return {
    header: { ...common, name: path, size: bytes.length, type: 'file', mode: mode ?? 0o644 },
    body: bytes,
  }
}
