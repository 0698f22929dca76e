import { createReadStream, createWriteStream, existsSync, realpathSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { packTar, unpackTar } from 'modern-tar/fs'
import { algorithmOf, type Digest, digestOf, hexOf, tryParseDigest } from '../oci/reference.ts'
import {
  type Document,
  type ImageSource,
  type Listed,
  openBlob,
  readBounded,
  readJson,
  readManifest,
  readText,
  TransferError,
  type TransferTarget,
} from './copy.ts'
import {
  BUNDLE_FILE,
  type Bundle,
  isOciLayout,
  OciLayout,
  OciLayoutTarget,
  readBundle,
  repositoryIn,
  tagIn,
} from './oci-layout.ts'

/** Images in files, to copy from. */
export interface OpenArchive extends AsyncDisposable {
  source: ImageSource
  /** Throws a TransferError if the images need an earlier export that the target does not have. */
  requireComplete(target: TransferTarget): Promise<void>
}

/**
 * Opens images in files: a folder, or an archive, which is unpacked beside it.
 * @throws TransferError when it is neither an OCI layout, nor of `docker save`, nor a folder of registry:2
 */
export async function openArchive(path: string, name: string | undefined): Promise<OpenArchive> {
  await using resources = new AsyncDisposableStack()
  const folder = (await stat(path)).isDirectory() ? path : await unpack(path, resources)
  const source = await openFolder(folder, name)
  if (source === undefined) {
    throw new TransferError(
      `${path} is not an OCI layout, an archive of docker save, or a data folder of registry:2 (with docker/registry/v2)`,
    )
  }
  const kept = resources.move()
  return {
    source,
    requireComplete: async (target) => {
      if (source instanceof OciLayout) await source.requireComplete(target)
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

async function openFolder(folder: string, name: string | undefined): Promise<ImageSource | undefined> {
  if (isOciLayout(folder)) return await OciLayout.open(folder, name && (repositoryIn(name) || name))
  if (isDockerArchive(folder)) return await DockerArchive.open(folder, name)
  return isRegistryFolder(folder) ? new RegistryFolder(folder) : undefined
}

/**
 * Writes an OCI layout: into a folder, or as an archive if the path ends with `.tar`.
 *
 * @param since an earlier layout: the blobs that it, and those before it, have are left out
 */
export async function exportLayout<T>(
  path: string,
  since: string | undefined,
  fill: (target: OciLayoutTarget) => Promise<T>,
): Promise<T> {
  const earlier = since === undefined ? undefined : await earlierThan(since)
  if (!path.endsWith('.tar')) {
    const target = await OciLayoutTarget.open(path, earlier)
    return await fill(target).finally(() => target.finish())
  }
  const folder = await mkdtemp(join(dirname(path), '.cay-export-'))
  try {
    const target = await OciLayoutTarget.open(folder, earlier)
    const filled = await fill(target)
    await target.finish()
    await pipeline(packTar(folder), createWriteStream(`${path}.part`))
    await rename(`${path}.part`, path)
    return filled
  } finally {
    await rm(folder, { recursive: true })
    await rm(`${path}.part`, { force: true })
  }
}

/** Reads which blobs an earlier export, and those before it, have. */
async function earlierThan(path: string): Promise<Pick<Bundle, 'since' | 'earlier'>> {
  await using resources = new AsyncDisposableStack()
  const isFolder = (await stat(path)).isDirectory()
  const folder = isFolder ? path : await unpack(path, resources, (name) => name === BUNDLE_FILE)
  const bundle = await readBundle(folder)
  if (bundle === undefined)
    throw new TransferError(`${path} was not made by cay export: it has no ${BUNDLE_FILE}`)
  return { since: basename(path), earlier: { ...bundle.earlier, ...bundle.blobs } }
}

async function unpack(
  path: string,
  resources: AsyncDisposableStack,
  isWanted: (name: string) => boolean = () => true,
): Promise<string> {
  const folder = await mkdtemp(join(dirname(path), '.cay-import-'))
  resources.defer(() => rm(folder, { recursive: true }))
  try {
    const options = { strict: true, dmode: 0o700, fmode: 0o600 }
    const filter = ({ name }: { name: string }) => isWanted(name.replace(/^\.\//, ''))
    await pipeline(createReadStream(path), unpackTar(folder, { ...options, filter }))
  } catch (cause) {
    throw new TransferError(`${path} is not a tar archive: ${(cause as Error).message}`, { cause })
  }
  return folder
}

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
function isDockerArchive(folder: string): boolean {
  return existsSync(join(folder, 'manifest.json'))
}

/** The content of `docker save`, unpacked. Its layers are copied as they are: uncompressed. */
class DockerArchive implements ImageSource {
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

/** The data folder of a distribution registry (registry:2 and registry:3), which is only read. */
class RegistryFolder implements ImageSource {
  private readonly repositories: string
  private readonly blobs: string

  /** @param folder the one that contains `docker/registry/v2` */
  constructor(folder: string) {
    const root = join(folder, ROOT)
    this.repositories = join(root, 'repositories')
    this.blobs = join(root, 'blobs')
  }

  async *list(): AsyncIterable<Listed> {
    for await (const repository of this.names('')) {
      const manifests = join(this.repositories, repository, '_manifests')
      const tagged = new Set<string>()
      for (const reference of await namesIn(join(manifests, 'tags'))) {
        tagged.add(await this.digestOfTag(repository, reference).catch(() => ''))
        yield { repository, reference }
      }
      for (const algorithm of await namesIn(join(manifests, 'revisions'))) {
        for (const hex of await namesIn(join(manifests, 'revisions', algorithm))) {
          if (
            !tagged.has(`${algorithm}:${hex}`) &&
            existsSync(join(manifests, 'revisions', algorithm, hex, 'link'))
          ) {
            yield { repository, reference: `${algorithm}:${hex}` }
          }
        }
      }
    }
  }

  async manifest(repository: string, reference: string): Promise<Document | undefined> {
    const manifests = join(this.repositories, repository, '_manifests')
    const isDigest = reference.includes(':')
    if (isDigest && !existsSync(join(manifests, 'revisions', ...reference.split(':'), 'link')))
      return undefined
    const digest = isDigest ? reference : await this.digestOfTag(repository, reference)
    const named = tryParseDigest(digest)
    return named && (await readManifest(this.fileOf(named), named))
  }

  /** Returns what the file of a tag contains; empty if there is none. */
  private async digestOfTag(repository: string, tag: string): Promise<string> {
    const link = join(this.repositories, repository, '_manifests', 'tags', tag, 'current', 'link')
    return existsSync(link) ? (await readText(link, LINK_BYTES_MAX)).trim() : ''
  }

  async blob(_: string, digest: Digest): Promise<ReadableStream<Uint8Array> | undefined> {
    return await openBlob(this.fileOf(digest))
  }

  /** Lists nothing, because referrers are in the list as untagged manifests. */
  async referrers(): Promise<string[]> {
    return []
  }

  /** Yields the repositories below a folder: names can have any number of components. */
  private async *names(parent: string, depth = 0): AsyncIterable<string> {
    if (depth > COMPONENTS_MAX) return
    for (const name of await namesIn(join(this.repositories, parent))) {
      if (name.startsWith('_')) continue
      const path = parent === '' ? name : `${parent}/${name}`
      if (existsSync(join(this.repositories, path, '_manifests'))) yield path
      yield* this.names(path, depth + 1)
    }
  }

  fileOf(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.blobs, algorithmOf(digest), hex.slice(0, 2), hex, 'data')
  }
}

/** The file of a tag or revision contains only a digest. */
const LINK_BYTES_MAX = 1024

/** How deep repositories are searched for: the components of the longest possible name. */
const COMPONENTS_MAX = 128

const ROOT = join('docker', 'registry', 'v2')

/** Reports whether a folder is the data folder of a distribution registry. */
function isRegistryFolder(folder: string): boolean {
  return existsSync(join(folder, ROOT, 'repositories'))
}

async function namesIn(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return []
  const entries = await readdir(folder, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}
