import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { description, license, version } from '../../package.json'
import { commit } from '../lib/bundle.ts'
import { type Content, type Descriptor, encode, packArtifact, packImage, sha256 } from '../lib/image.ts'
import { licenseText } from './components.ts'
import { type DebianPackage, debianBase } from './debian-base.ts'
import { releaseFolder } from './executables.ts'
import type { Platform } from './platform.ts'
import { provenanceMediaType, provenanceOf } from './provenance.ts'
import { sbomMediaType, sbomOf } from './sbom.ts'
import { type Entry, tarOf } from './tar.ts'

/** The user that runs cay in the image. */
const user = 65_532
const data = '/var/lib/cay'

/** An image for one platform, and the artifacts that describe it. */
export interface DescribedImage {
  image: Content
  /** Its SBOM and its provenance. */
  referrers: Content[]
}

/**
 * Builds the image of a platform from its released executable and Debian's packages.
 * @param seconds when it was created, in seconds since 1970
 */
export async function containerImage(platform: Platform, seconds: number): Promise<DescribedImage> {
  const base = await debianBase(platform)
  const executable = await readFile(join(releaseFolder, platform.executable))
  const layers = [
    await tarOf([...base.entries, ...account], 0),
    await tarOf(
      [
        { path: 'usr/bin/cay', body: executable, mode: 0o755 },
        { path: 'usr/share/doc/cay/copyright', body: await licenseText() },
        { path: data.slice(1), mode: 0o700, owner: user },
      ],
      0,
    ),
  ]
  const image = imageOf(platform, layers, seconds)
  return { image, referrers: await describe(image.descriptor, base.packages, seconds) }
}

const account: Entry[] = [
  { path: 'etc/passwd', body: `root:x:0:0::/:/none\ncay:x:${user}:${user}::${data}:/none\n` },
  { path: 'etc/group', body: `root:x:0:\ncay:x:${user}:\n` },
]

function imageOf({ architecture }: Platform, layers: Uint8Array[], seconds: number): Content {
  const created = new Date(seconds * 1000).toISOString()
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

async function describe(image: Descriptor, packages: DebianPackage[], seconds: number): Promise<Content[]> {
  const document = (mediaType: string, text: string) =>
    packArtifact(mediaType, { mediaType, bytes: new TextEncoder().encode(text) }, image)
  return [
    document(sbomMediaType, await sbomOf(seconds, packages)),
    document(provenanceMediaType, provenanceOf(image.digest, packages)),
  ]
}
