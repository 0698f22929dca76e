import { existsSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { type Digest, tryParseDigest } from '../oci/digest.ts'
import { readBounded } from './manifest-file.ts'
import { repositoryIn, tagIn } from './oci-layout.ts'
import { type Document, type ImageSource, type Listed, TransferError } from './source.ts'

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json'
const CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json'
const LAYER_TYPE = 'application/vnd.docker.image.rootfs.diff.tar'

interface ArchivedImage {
  Config: string
  RepoTags: string[] | null
  Layers: string[]
}

interface Image {
  names: Listed[]
  document: Document
  /** The files of the config and the layers, by digest. */
  files: Map<string, string>
}

/** Reports whether a folder is what `docker save` writes. */
export function isDockerArchive(folder: string): boolean {
  return existsSync(join(folder, 'manifest.json'))
}

/** The content of `docker save`, unpacked. Its layers are copied as they are: uncompressed. */
export class DockerArchive implements ImageSource {
  private readonly images: Image[]

  private constructor(images: Image[]) {
    this.images = images
  }

  /**
   * @param name where to copy to, as REPOSITORY or REPOSITORY:TAG; by default the names in the archive
   * @throws TransferError when the archive is damaged, or names no repository
   */
  static async open(folder: string, name: string | undefined): Promise<DockerArchive> {
    const archived = JSON.parse(
      new TextDecoder().decode(await readBounded(join(folder, 'manifest.json'))),
    ) as ArchivedImage[]
    return new DockerArchive(await Promise.all(archived.map((one) => readImage(folder, one, name))))
  }

  async *list(): AsyncIterable<Listed> {
    for (const { names } of this.images) yield* names
  }

  async manifest(repository: string, reference: string): Promise<Document | undefined> {
    const isNamed = (one: Listed) => one.repository === repository && one.reference === reference
    return this.images.find(({ names }) => names.some(isNamed))?.document
  }

  async blob(_: string, digest: string): Promise<ReadableStream<Uint8Array> | undefined> {
    const file = this.images.find(({ files }) => files.has(digest))?.files.get(digest)
    return file === undefined ? undefined : Bun.file(file).stream()
  }

  async referrers(): Promise<Digest[]> {
    return []
  }
}

async function readImage(
  folder: string,
  { Config, RepoTags, Layers }: ArchivedImage,
  name: string | undefined,
) {
  const config = await readBounded(inside(folder, Config))
  const { rootfs } = JSON.parse(new TextDecoder().decode(config)) as { rootfs?: { diff_ids?: string[] } }
  const ids = (rootfs?.diff_ids ?? []).map((id) => tryParseDigest(id))
  if (ids.length !== Layers.length) throw new TransferError(`${Config} does not name the layers of its image`)
  const configDigest = `sha256:${new Bun.CryptoHasher('sha256').update(config).digest('hex')}`
  const files = new Map([[configDigest, inside(folder, Config)]])
  const layers = ids.map((digest, at) => {
    if (digest === undefined) throw new TransferError(`${Config} has a malformed layer digest`)
    const file = inside(folder, Layers[at] ?? '')
    files.set(digest, file)
    return { mediaType: LAYER_TYPE, digest, size: Bun.file(file).size }
  })
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: { mediaType: CONFIG_TYPE, digest: configDigest, size: config.length },
    layers,
  }
  const bytes = new TextEncoder().encode(JSON.stringify(manifest))
  const names = (name === undefined ? (RepoTags ?? []) : [name]).map((one) => ({
    repository: repositoryIn(one) || one,
    reference: one.includes(':') ? (tagIn(one) ?? 'latest') : 'latest',
  }))
  if (names.length === 0) throw new TransferError('the archive does not name its image: pass REPOSITORY:TAG')
  return { names, document: { bytes, mediaType: MANIFEST_TYPE }, files }
}

/** Returns the path of a file in the archive. A link must not lead out of it. */
function inside(folder: string, name: string): string {
  const path = join(folder, name)
  if (!existsSync(path)) throw new TransferError(`the archive has no file ${name}`)
  const real = realpathSync(path)
  if (real.startsWith(realpathSync(folder) + sep)) return real
  throw new TransferError(`the file ${name} leads out of the archive`)
}
