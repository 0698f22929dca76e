import { createHash, randomBytes } from 'node:crypto'
import { packTar, type TarEntry } from 'modern-tar'
import { EMPTY_LAYER } from '../../src/docker/conversion.ts'
import { signDocument } from '../../src/docker/signed-document.ts'
import { newSigningKey, readSigningKey } from '../../src/docker/signing-key.ts'

/** The format in which a manifest was pushed. */
export type Format = 'schema1' | 'schema2' | 'list' | 'oci' | 'index' | 'artifact'

export const mediaTypes = {
  schema1: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  schema2: 'application/vnd.docker.distribution.manifest.v2+json',
  list: 'application/vnd.docker.distribution.manifest.list.v2+json',
  oci: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  artifact: 'application/vnd.oci.image.manifest.v1+json',
} as const satisfies Record<Format, string>

const configTypes = {
  schema2: 'application/vnd.docker.container.image.v1+json',
  oci: 'application/vnd.oci.image.config.v1+json',
  artifact: 'application/vnd.cncf.helm.config.v1+json',
}

const layerTypes = {
  schema2: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  oci: 'application/vnd.oci.image.layer.v1.tar+gzip',
  artifact: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
}

/** How each image is to be run. */
export const imageConfig = {
  Cmd: ['/usr/bin/tool', '--greet', '岛 🏝'],
  Env: ['PATH=/usr/bin'],
  Labels: { island: 'cay <&>' },
}

/** A manifest with everything that it refers to. */
export interface Sample {
  format: Format
  mediaType: string
  manifest: Buffer
  /** For schema 1: the digest of the signed part. */
  digest: string
  blobs: Map<string, Uint8Array>
  children: Sample[]
}

/** The parts of an image: its layers as gzipped tar archives, base first, and its config. */
export interface Parts {
  layers: Buffer[]
  config: Buffer
}

/** The samples of each format; images of one architecture have the same layers. */
export async function makeSamples(name: string, tag: string): Promise<Record<Format, Sample>> {
  const amd64 = await makeParts('amd64')
  const arm64 = await makeParts('arm64')
  const pick = (format: 'schema2' | 'oci') => [makeImage(format, arm64), makeImage(format, amd64)]
  return {
    schema1: makeSchema1(amd64, name, tag),
    schema2: makeImage('schema2', amd64),
    oci: makeImage('oci', amd64),
    artifact: makeImage('artifact', amd64),
    list: makeIndex('list', pick('schema2')),
    index: makeIndex('index', pick('oci')),
  }
}

/** Layers that add, replace and remove files, and a history with empty steps and with text in several scripts. */
async function makeParts(architecture: 'amd64' | 'arm64'): Promise<Parts> {
  const layers = await Promise.all(contentOfLayers().map(async (entries) => await packTar(entries)))
  const created = '2026-01-02T03:04:05.678901234Z'
  const config = {
    architecture,
    os: 'linux',
    created,
    author: 'Ana Núñez',
    config: {
      Cmd: ['/usr/bin/tool', '--greet', '岛 🏝'],
      Env: ['PATH=/usr/bin'],
      Labels: { island: 'cay <&>' },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(sha256) },
    history: [
      { created, created_by: 'ADD base.tar /' },
      { created, created_by: 'ENV GREETING="岛 🏝"', empty_layer: true, comment: 'ünïcode \u2028 <&>' },
      { created, created_by: 'COPY data /data', author: 'Ana Núñez' },
      { created, created_by: 'RUN rm -r /usr/share/doc' },
      { created, created_by: 'CMD ["/usr/bin/tool"]', empty_layer: true },
    ],
  }
  const compressed = layers.map((layer) => Buffer.from(Bun.gzipSync(layer)))
  return { layers: compressed, config: Buffer.from(JSON.stringify(config)) }
}

function contentOfLayers(): TarEntry[][] {
  const directory = (name: string): TarEntry => ({
    header: { name, type: 'directory', size: 0, mode: 0o755 },
  })
  const file = (name: string, body: string | Buffer, mode = 0o644): TarEntry => ({
    header: { name, type: 'file', size: Buffer.byteLength(body), mode },
    body,
  })
  const link = (type: 'symlink' | 'link', name: string, linkname: string): TarEntry => ({
    header: { name, type, linkname, size: 0 },
  })
  return [
    [
      ...['etc/', 'usr/', 'usr/bin/', 'usr/share/', 'usr/share/doc/', 'var/', 'var/cache/'].map(directory),
      file('etc/os-release', 'ID=cay\n'),
      file('usr/bin/tool', randomBytes(5000), 0o755),
      link('link', 'usr/bin/other', 'usr/bin/tool'),
      link('symlink', 'bin', 'usr/bin'),
      file('usr/share/doc/readme', 'read me\n'),
      file('var/cache/old', 'old\n'),
      file('etc/gone', 'gone\n'),
    ],
    [directory('data/'), file('data/random', randomBytes(3 * 1024 * 1024)), file('data/岛', 'cay\n')],
    [
      file('etc/os-release', 'ID=cay\nVERSION=2\n'),
      file('etc/.wh.gone', ''),
      file('usr/share/.wh.doc', ''),
      file('var/cache/.wh..wh..opq', ''),
      file('var/cache/new', 'new\n'),
    ],
  ]
}

function makeImage(format: 'schema2' | 'oci' | 'artifact', { layers, config }: Parts): Sample {
  const descriptor = (mediaType: string, bytes: Uint8Array) => ({
    mediaType,
    size: bytes.length,
    digest: sha256(bytes),
  })
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes[format],
    config: descriptor(configTypes[format], config),
    layers: layers.map((layer) => descriptor(layerTypes[format], layer)),
  }
  return sample(format, manifest, blobsOf([config, ...layers]), [])
}

function makeIndex(format: 'list' | 'index', children: Sample[]): Sample {
  const manifests = children.map(({ mediaType, manifest, digest }, number) => ({
    mediaType,
    size: manifest.length,
    digest,
    platform: { os: 'linux', architecture: number === 0 ? 'arm64' : 'amd64' },
  }))
  return sample(format, { schemaVersion: 2, mediaType: mediaTypes[format], manifests }, new Map(), children)
}

/** Docker schema 1 as Docker 1.9 wrote it: a layer for each step, the leaf first. */
function makeSchema1({ layers, config }: Parts, name: string, tag: string): Sample {
  const { history, rootfs: _, ...image } = JSON.parse(config.toString())
  const empty = Buffer.from(EMPTY_LAYER.base64, 'base64')
  const unused = [...layers]
  const steps: { blob: Buffer; v1: Record<string, unknown> }[] = []
  for (const [number, step] of history.entries()) {
    const id = sha256(Buffer.from(`${name} ${number} ${config}`)).slice('sha256:'.length)
    const parent = steps.at(-1)?.v1.id
    const v1 = {
      id,
      ...(parent === undefined ? {} : { parent }),
      created: step.created,
      container_config: { Cmd: [step.created_by] },
    }
    steps.push({
      blob: step.empty_layer ? empty : (unused.shift() ?? empty),
      v1: { ...v1, ...(step.empty_layer && { throwaway: true }) },
    })
  }
  const leaf = steps.at(-1)
  if (leaf) leaf.v1 = { ...image, ...leaf.v1 }
  steps.reverse()
  const payload = {
    schemaVersion: 1,
    name,
    tag,
    architecture: image.architecture,
    fsLayers: steps.map(({ blob }) => ({ blobSum: sha256(blob) })),
    history: steps.map(({ v1 }) => ({ v1Compatibility: JSON.stringify(v1) })),
  }
  const bytes = Buffer.from(JSON.stringify(payload, undefined, 3))
  const signed = Buffer.from(signDocument(bytes, readSigningKey(newSigningKey()), 0))
  const blobs = blobsOf([empty, ...layers])
  return {
    format: 'schema1',
    mediaType: mediaTypes.schema1,
    manifest: signed,
    digest: sha256(bytes),
    blobs,
    children: [],
  }
}

function sample(format: Format, document: object, blobs: Sample['blobs'], children: Sample[]): Sample {
  const manifest = Buffer.from(JSON.stringify(document))
  return { format, mediaType: mediaTypes[format], manifest, digest: sha256(manifest), blobs, children }
}

function blobsOf(all: Uint8Array[]): Map<string, Uint8Array> {
  return new Map(all.map((bytes) => [sha256(bytes), bytes]))
}

/** Returns the digest of bytes, `sha256:<hex>`. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}
