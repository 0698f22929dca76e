import { createHash, randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'

export const mediaTypes = {
  index: MEDIA_TYPE.ociIndex,
  manifest: MEDIA_TYPE.ociManifest,
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
}

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  artifactType?: string
  platform?: { os: string; architecture: string }
}

/** A manifest or an index, with all bytes that it refers to, by digest. */
export interface Content {
  descriptor: Descriptor
  blobs: Map<string, Uint8Array>
}

/** An image of random bytes, so that no registry is needed to get one. */
export interface Image extends Content {
  config: Uint8Array
  /** The uncompressed tar archives of its layers, base first. */
  layers: Uint8Array[]
}

export interface ImageOptions {
  architecture?: string
  os?: string
  layerCount?: number
  layerBytes?: number
  /** The files of each layer, base first; by default one file of random bytes each. */
  files?: Record<string, string | Uint8Array>[]
  labels?: Record<string, string>
}

/** Creates an OCI image whose layers are real archives, each with a file of random bytes. */
export async function makeImage(options: ImageOptions = {}): Promise<Image> {
  const { os = 'linux', architecture = 'amd64' } = options
  const files = options.files ?? randomFiles(options)
  const layers = await Promise.all(files.map((layer) => new Bun.Archive(layer).bytes()))
  const config = encode({
    created: '2026-01-01T00:00:00Z',
    architecture,
    os,
    config: { Cmd: ['/data/0.bin'], Labels: { 'org.example.platform': architecture, ...options.labels } },
    rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    history: layers.map((_, number) => ({
      created: '2026-01-01T00:00:00Z',
      created_by: `COPY ${number}.bin`,
    })),
  })
  const compressed = layers.map((layer) => Bun.gzipSync(Buffer.from(layer), { level: 1 }))
  return { ...packImage(config, compressed, { os, architecture }), config, layers }
}

/** Returns an OCI image of a config and compressed layers. */
export function packImage(
  config: Uint8Array,
  layers: Uint8Array[],
  platform: { os: string; architecture: string },
): Content {
  const parts = layers.map((bytes) => ({ mediaType: mediaTypes.layer, bytes }))
  const { descriptor, blobs } = packManifest({ mediaType: mediaTypes.config, bytes: config }, parts)
  return { descriptor: { ...descriptor, platform }, blobs }
}

/** Returns an artifact of one document, which refers to `subject` if there is one. */
export function packArtifact(artifactType: string, document: Part, subject?: Descriptor): Content {
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', bytes: encode({}) }
  const { platform: _, ...plain } = subject ?? {}
  const more = { artifactType, ...(subject && { subject: plain }) }
  const { descriptor, blobs } = packManifest(config, [document], more)
  return { descriptor: { ...descriptor, artifactType }, blobs }
}

/** A blob of a manifest. */
export interface Part {
  mediaType: string
  bytes: Uint8Array
}

interface ManifestFields {
  mediaType?: string
  [field: string]: unknown
}

/** Returns a manifest of these parts, by default an OCI image manifest. `more` has its other fields. */
export function packManifest(config: Part, layers: Part[], more: ManifestFields = {}): Content {
  const { mediaType = mediaTypes.manifest } = more
  const parts = { config: describe(config), layers: layers.map(describe) }
  const own = { mediaType, bytes: encode({ schemaVersion: 2, mediaType, ...parts, ...more }) }
  const blobs = new Map([config, ...layers, own].map(({ bytes }) => [sha256(bytes), bytes]))
  return { descriptor: describe(own), blobs }
}

/** Returns the descriptor of a blob or a manifest. */
function describe({ mediaType, bytes }: Part): Descriptor {
  return { mediaType, digest: sha256(bytes), size: bytes.length }
}

function randomFiles({ layerCount = 3, layerBytes = 2 * 1024 * 1024 }: ImageOptions) {
  return Array.from({ length: layerCount }, (_, number) => ({
    [`data/${number}.bin`]: randomBytes(layerBytes),
  }))
}

/** Creates an image index of images or of other indexes. */
export function makeIndex(children: Content[], mediaType: string = mediaTypes.index): Content {
  const manifests = children.map((child) => child.descriptor)
  const bytes = encode({ schemaVersion: 2, mediaType, manifests })
  const descriptor = describe({ mediaType, bytes })
  const blobs = new Map([...children.flatMap((child) => [...child.blobs]), [descriptor.digest, bytes]])
  return { descriptor, blobs }
}

/** Creates an image for amd64 and one for arm64. */
export async function makePlatforms(options: ImageOptions = {}): Promise<[Image, Image]> {
  const make = (architecture: string) => makeImage({ ...options, architecture })
  return await Promise.all([make('amd64'), make('arm64')])
}

/** Writes an OCI image layout with one tag, and with the referrers of its content. */
export async function writeLayout(
  folder: string,
  content: Content,
  tag: string,
  referrers: Content[] = [],
): Promise<void> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  for (const { blobs } of [content, ...referrers]) {
    for (const [digest, bytes] of blobs) await Bun.write(join(folder, 'blobs', ...digest.split(':')), bytes)
  }
  const named = { ...content.descriptor, annotations: { 'org.opencontainers.image.ref.name': tag } }
  const manifests = [named, ...referrers.map(({ descriptor }) => descriptor)]
  const index = { schemaVersion: 2, mediaType: mediaTypes.index, manifests }
  await Bun.write(join(folder, 'index.json'), JSON.stringify(index))
  await Bun.write(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
}

/** Writes an archive in the format of `docker save`, with uncompressed layers. */
export async function writeDockerArchive(file: string, image: Image, name: string): Promise<void> {
  const configName = `${hex(image.config)}.json`
  const layers = image.layers.map((bytes): [string, Uint8Array] => [`${hex(bytes)}/layer.tar`, bytes])
  const manifest = [{ Config: configName, RepoTags: [name], Layers: layers.map(([path]) => path) }]
  const files = { [configName]: image.config, ...Object.fromEntries(layers) }
  await Bun.write(file, new Bun.Archive({ ...files, 'manifest.json': JSON.stringify(manifest) }))
}

/** Returns the digest of bytes, `sha256:<hex>`. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${hex(bytes)}`
}

/** Returns the SHA-256 of bytes, in hex. */
export function hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Reports whether bytes match a digest of any algorithm. */
export function isDigestOf(digest: string, bytes: Uint8Array): boolean {
  const [algorithm = '', hash] = digest.split(':')
  return createHash(algorithm).update(bytes).digest('hex') === hash
}

export function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
