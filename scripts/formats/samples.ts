import { randomBytes } from 'node:crypto'
import { packTar, type TarEntry } from 'modern-tar'
import { EMPTY_LAYER } from '../../src/docker/conversion.ts'
import { newSigningKey, readSigningKey, signDocument } from '../../src/docker/signed-document.ts'
import { MEDIA_TYPE } from '../../src/oci/media-type.ts'
import { type Content, hex, makeIndex, packManifest, sha256 } from '../lib/image.ts'

/** The format in which a manifest was pushed. */
export type Format = 'schema1' | 'schema2' | 'list' | 'oci' | 'index' | 'artifact'

export const mediaTypes = {
  schema1: MEDIA_TYPE.dockerSchema1Signed,
  schema2: MEDIA_TYPE.dockerManifest,
  list: MEDIA_TYPE.dockerList,
  oci: MEDIA_TYPE.ociManifest,
  index: MEDIA_TYPE.ociIndex,
  artifact: MEDIA_TYPE.ociManifest,
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

/** A manifest with everything that it refers to. The digest of schema 1 is that of its signed part. */
export interface Sample extends Content {
  format: Format
  manifest: Buffer
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
    list: sample('list', makeIndex(pick('schema2'), mediaTypes.list)),
    index: sample('index', makeIndex(pick('oci'))),
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
  const parts = layers.map((bytes) => ({ mediaType: layerTypes[format], bytes }))
  const own = { mediaType: configTypes[format], bytes: config }
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
  for (const [number, step] of history.entries()) {
    const id = hex(`${name} ${number} ${config}`)
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
  const signed = signDocument(bytes, readSigningKey(newSigningKey()), 0)
  const descriptor = { mediaType: mediaTypes.schema1, digest: sha256(bytes), size: signed.length }
  const blobs = new Map<string, Uint8Array>([empty, ...layers].map((blob) => [sha256(blob), blob]))
  return sample('schema1', { descriptor, blobs: blobs.set(descriptor.digest, signed) })
}

function sample(format: Format, content: Content): Sample {
  return { ...content, format, manifest: Buffer.from(content.blobs.get(content.descriptor.digest)!) }
}
