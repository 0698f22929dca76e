import { existsSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Digest, digestOf, tryParseDigest } from '../oci/digest.ts'
import { openBlob, readBounded, readJson } from './manifest-file.ts'
import { repositoryIn, tagIn } from './oci-layout.ts'
import { type Document, type ImageSource, type Listed, TransferError } from './source.ts'

const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json'
const CONFIG_TYPE = 'application/vnd.docker.container.image.v1+json'
const LAYER_TYPE = 'application/vnd.docker.image.rootfs.diff.tar'

/** The parts of `manifest.json` that are read. */
const archiveModel = t.Array(
  t.Object({
    Config: t.String(),
    RepoTags: t.Optional(t.Union([t.Array(t.String()), t.Null()])),
    Layers: t.Array(t.String()),
  }),
)

/** The parts of an image's config that are read. */
const configModel = t.Object({ rootfs: t.Object({ diff_ids: t.Array(t.String()) }) })

type ArchivedImage = Static<typeof archiveModel>[number]

interface Image {
  names: Listed[]
  document: Document
  /** The files of the config and the layers, by digest. */
  files: Map<string, string>
}

/** Reports whether a folder has the format of `docker save`. */
export function isDockerArchive(folder: string): boolean {
  return existsSync(join(folder, 'manifest.json'))
}

/** The content of `docker save`, unpacked. Its layers are copied as they are: uncompressed. */
export class DockerArchive implements ImageSource {
  private readonly images: Image[]
  private readonly documents = new Map<string, Document>()
  private readonly files = new Map<string, string>()

  private constructor(images: Image[]) {
    this.images = images
    for (const { names, document, files } of images) {
      for (const { repository, reference } of names)
        this.documents.set(`${repository}:${reference}`, document)
      for (const [digest, file] of files) this.files.set(digest, file)
    }
  }

  /**
   * @param name where to copy to, as REPOSITORY or REPOSITORY:TAG; by default the names in the archive
   * @throws TransferError when the archive is damaged, or names no repository
   */
  static async open(folder: string, name: string | undefined): Promise<DockerArchive> {
    const archived = await readJson(join(folder, 'manifest.json'))
    if (!Value.Check(archiveModel, archived))
      throw new TransferError(`the manifest.json of ${folder} is not that of an archive of docker save`)
    const images: Image[] = []
    for (const one of archived) images.push(await readImage(folder, one, name))
    return new DockerArchive(images)
  }

  async *list(): AsyncIterable<Listed> {
    for (const { names } of this.images) yield* names
  }

  async manifest(repository: string, reference: string): Promise<Document | undefined> {
    return this.documents.get(`${repository}:${reference}`)
  }

  async blob(_: string, digest: string): Promise<ReadableStream<Uint8Array> | undefined> {
    const file = this.files.get(digest)
    return file === undefined ? undefined : await openBlob(file)
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
  const document = await readJson(inside(folder, Config))
  if (!Value.Check(configModel, document)) throw new TransferError(`${Config} is not the config of an image`)
  const ids = document.rootfs.diff_ids.map((id) => tryParseDigest(id))
  if (ids.length !== Layers.length) throw new TransferError(`${Config} does not name the layers of its image`)
  const configDigest = digestOf(config)
  const files = new Map<string, string>([[configDigest, inside(folder, Config)]])
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
