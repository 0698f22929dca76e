import { randomBytes } from 'node:crypto'
import { type Content, hex, makeIndex, packManifest, sha256 } from '../../scripts/lib/image.ts'
import { EMPTY_LAYER } from '../../src/docker/conversion.ts'
import { newSigningKey, readSigningKey, signDocument } from '../../src/docker/signed-document.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'

/** The format in which a manifest is pushed. */
export type Format = 'schema1' | 'schema2' | 'list' | 'oci' | 'index' | 'artifact'

export const mediaTypes = {
  schema1: MEDIA_TYPE.dockerSchema1Signed,
  schema2: MEDIA_TYPE.dockerManifest,
  list: MEDIA_TYPE.dockerList,
  oci: MEDIA_TYPE.ociManifest,
  index: MEDIA_TYPE.ociIndex,
  artifact: MEDIA_TYPE.ociManifest,
} as const satisfies Record<Format, string>

/** The media types of a config and of a layer. */
const partTypes = {
  schema2: [
    'application/vnd.docker.container.image.v1+json',
    'application/vnd.docker.image.rootfs.diff.tar.gzip',
  ],
  oci: ['application/vnd.oci.image.config.v1+json', 'application/vnd.oci.image.layer.v1.tar+gzip'],
  artifact: [
    'application/vnd.cncf.helm.config.v1+json',
    'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
  ],
} as const

/** How each image is to be run. */
export const imageConfig = {
  Cmd: ['/usr/bin/tool', '--greet', '岛 🏝'],
  Env: ['PATH=/usr/bin'],
  Labels: { island: 'cay <&>' },
}

/** A manifest with everything that it refers to. The digest of schema 1 is that of its signed part. */
export interface Sample extends Content {
  format: Format
  manifest: Buffer
}

/** The parts of an image: its layers as gzipped tar archives, base first, and its config. */
interface Parts {
  layers: Buffer[]
  config: Buffer
}

/** The samples of each format; images of one architecture have the same layers. */
export async function makeSamples(name: string, tag: string): Promise<Record<Format, Sample>> {
  const [amd64, arm64] = await Promise.all([makeParts('amd64'), makeParts('arm64')])
  const pick = (format: 'schema2' | 'oci') => [makeImage(format, arm64), makeImage(format, amd64)]
  return {
    schema1: makeSchema1(amd64, name, tag),
    schema2: makeImage('schema2', amd64),
    oci: makeImage('oci', amd64),
    artifact: makeImage('artifact', amd64),
    list: sample('list', makeIndex(pick('schema2'), mediaTypes.list)),
    index: sample('index', makeIndex(pick('oci'))),
  }
}

/** Three layers, and a history with empty steps and with text in several scripts. */
async function makeParts(architecture: 'amd64' | 'arm64'): Promise<Parts> {
  const files = [
    { 'usr/bin/tool': randomBytes(5000) },
    { 'data/岛': randomBytes(300_000) },
    { 'etc/motd': 'hello\n' },
  ]
  const layers = await Promise.all(files.map((layer) => new Bun.Archive(layer).bytes()))
  const created = '2026-01-02T03:04:05.678901234Z'
  const config = {
    architecture,
    os: 'linux',
    created,
    author: 'Ana Núñez',
    config: imageConfig,
    rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    history: [
      { created, created_by: 'ADD base.tar /' },
      { created, created_by: 'ENV GREETING="岛 🏝"', empty_layer: true, comment: 'ünïcode \u2028 <&>' },
      { created, created_by: 'COPY data /data', author: 'Ana Núñez' },
      { created, created_by: 'RUN rm -r /usr/share/doc' },
      { created, created_by: 'CMD ["/usr/bin/tool"]', empty_layer: true },
    ],
  }
  const compressed = layers.map((layer) => Buffer.from(Bun.gzipSync(Buffer.from(layer))))
  return { layers: compressed, config: Buffer.from(JSON.stringify(config)) }
}

function makeImage(format: keyof typeof partTypes, { layers, config }: Parts): Sample {
  const [configType, layerType] = partTypes[format]
  const parts = layers.map((bytes) => ({ mediaType: layerType, bytes }))
  const own = { mediaType: configType, bytes: config }
  const { descriptor, blobs } = packManifest(own, parts, { mediaType: mediaTypes[format] })
  const { architecture } = JSON.parse(config.toString())
  return sample(format, { descriptor: { ...descriptor, platform: { os: 'linux', architecture } }, blobs })
}

/** Docker schema 1 as Docker 1.9 wrote it: a layer for each step, the leaf first. */
function makeSchema1({ layers, config }: Parts, name: string, tag: string): Sample {
  const { history, rootfs: _, ...image } = JSON.parse(config.toString())
  const empty = Buffer.from(EMPTY_LAYER.base64, 'base64')
  const unused = [...layers]
  const steps: { blob: Buffer; v1: Record<string, unknown> }[] = []
  for (const [number, { created, created_by, empty_layer }] of history.entries()) {
    const blob = empty_layer ? empty : (unused.shift() ?? empty)
    const own = { id: hex(`${name} ${number} ${config}`), created, container_config: { Cmd: [created_by] } }
    const parent = steps[0] && { parent: steps[0].v1.id }
    const leaf = number === history.length - 1 && image
    steps.unshift({ blob, v1: { ...leaf, ...own, ...parent, ...(empty_layer && { throwaway: true }) } })
  }
  const payload = {
    schemaVersion: 1,
    name,
    tag,
    architecture: image.architecture,
    fsLayers: steps.map(({ blob }) => ({ blobSum: sha256(blob) })),
    history: steps.map(({ v1 }) => ({ v1Compatibility: JSON.stringify(v1) })),
  }
  const bytes = Buffer.from(JSON.stringify(payload, undefined, 3))
  const signed = signDocument(bytes, readSigningKey(newSigningKey()), 0)
  const descriptor = { mediaType: mediaTypes.schema1, digest: sha256(bytes), size: signed.length }
  const blobs = new Map<string, Uint8Array>([empty, ...layers].map((blob) => [sha256(blob), blob]))
  return sample('schema1', { descriptor, blobs: blobs.set(descriptor.digest, signed) })
}

function sample(format: Format, content: Content): Sample {
  return { ...content, format, manifest: Buffer.from(content.blobs.get(content.descriptor.digest)!) }
}

/** Returns the digests of the uncompressed layers of an image that skopeo copied to a `dir:`, base first, without empty ones. */
export async function layersOfFolder(folder: string): Promise<string[]> {
  const { fsLayers, layers } = await Bun.file(`${folder}/manifest.json`).json()
  const digests: string[] = fsLayers
    ? fsLayers.map(({ blobSum }: { blobSum: string }) => blobSum).reverse()
    : layers.map(({ digest }: { digest: string }) => digest)
  return layersOf(
    await Promise.all(digests.map((digest) => Bun.file(`${folder}/${digest.slice(7)}`).bytes())),
  )
}

/** Returns the digests of compressed layers when uncompressed, without empty ones. */
export function layersOf(layers: Uint8Array[]): string[] {
  const archives = layers.map((layer) => Bun.gunzipSync(Buffer.from(layer)))
  return archives.filter((bytes) => bytes.some((byte) => byte !== 0)).map(sha256)
}
