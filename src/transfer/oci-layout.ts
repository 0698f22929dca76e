import { existsSync } from 'node:fs'
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Static, Type as t } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import PQueue from 'p-queue'
import { readParts } from '../oci/manifest.ts'
import { algorithmOf, type Digest, digestOf, hexOf, parseDigest, tryParseDigest } from '../oci/reference.ts'
import {
  type Document,
  type ImageSource,
  type Listed,
  openBlob,
  readJson,
  readManifest,
  TransferError,
  type TransferTarget,
} from './copy.ts'

const REF_NAME = 'org.opencontainers.image.ref.name'
/** The whole name, as containerd and Docker write it. */
const IMAGE_NAME = 'io.containerd.image.name'

/** The parts of an index that are read (image-spec, "Image Index"). All others are kept. */
const indexModel = t.Object({
  manifests: t.Optional(
    t.Array(
      t.Object({
        mediaType: t.String(),
        digest: t.String(),
        size: t.Number(),
        annotations: t.Optional(t.Record(t.String(), t.String())),
      }),
    ),
  ),
})

type Entry = NonNullable<Static<typeof indexModel>['manifests']>[number]

/** Reports whether a folder is an OCI image layout (image-spec, "Image Layout"). */
export function isOciLayout(folder: string): boolean {
  return existsSync(join(folder, 'index.json')) && existsSync(join(folder, 'oci-layout'))
}

/** An OCI image layout to copy from. */
export class OciLayout implements ImageSource {
  private readonly folder: string
  /** What the index lists, by repository and reference. */
  private readonly images: ReadonlyMap<string, Listed & { digest: string }>
  private readonly repository: string | undefined

  private constructor(folder: string, images: OciLayout['images'], repository: string | undefined) {
    this.folder = folder
    this.images = images
    this.repository = repository
  }

  /**
   * @param repository the one to copy to; by default the one that each image names
   * @throws TransferError when an image names no repository
   */
  static async open(folder: string, repository: string | undefined): Promise<OciLayout> {
    const images = new Map<string, Listed & { digest: string }>()
    for (const { digest, annotations = {} } of await readIndex(folder)) {
      const full = annotations[IMAGE_NAME] ?? ''
      const name = annotations[REF_NAME] ?? full
      const named = repository ?? (repositoryIn(full) || repositoryIn(name))
      if (named === '') {
        throw new TransferError(
          `the layout does not name its repository: pass one, such as cay import ${folder} app`,
        )
      }
      const listed = { repository: named, reference: tagIn(name) ?? digest, digest }
      if (!images.has(keyOf(listed))) images.set(keyOf(listed), listed)
    }
    return new OciLayout(folder, images, repository)
  }

  async *list(): AsyncIterable<Listed> {
    for (const { repository, reference } of this.images.values()) yield { repository, reference }
  }

  async manifest(repository: string, reference: string): Promise<Document | undefined> {
    const listed = this.images.get(keyOf({ repository, reference }))
    const digest = tryParseDigest(reference) ?? tryParseDigest(listed?.digest ?? '')
    return digest && (await readManifest(fileOf(this.folder, digest), digest))
  }

  async blob(_: string, digest: Digest): Promise<ReadableStream<Uint8Array> | undefined> {
    return await openBlob(fileOf(this.folder, digest))
  }

  /** Lists nothing, because referrers are in the list as untagged manifests. */
  async referrers(): Promise<Digest[]> {
    return []
  }

  /** Throws a TransferError if the layout leaves blobs to earlier exports which the target does not have. */
  async requireComplete(target: TransferTarget): Promise<void> {
    const bundle = await readBundle(this.folder)
    if (bundle === undefined || Object.keys(bundle.earlier).length === 0) return
    await requireEarlier(bundle, this, target, {
      hasFile: (digest) => existsSync(fileOf(this.folder, digest)),
      rename: (repository) => this.repository ?? repository,
    })
  }
}

function keyOf({ repository, reference }: Listed): string {
  return `${repository} ${reference}`
}

/** An OCI image layout to copy to. */
export class OciLayoutTarget implements TransferTarget {
  private readonly folder: string
  /** The layout's own blobs, and those of earlier exports, which are left out. */
  private readonly bundle: Bundle
  private entries: Entry[] = []
  /** The manifests that were put by their digest, as `<repository>@<digest>`. */
  private readonly put = new Set<string>()
  /** The number of temporary files so far, for unique names. */
  private parts = 0

  private constructor(folder: string, bundle: Bundle) {
    this.folder = folder
    this.bundle = bundle
  }

  /**
   * Opens a layout, which can have content already.
   *
   * @param since an earlier export, whose blobs and those before it are left out
   */
  static async open(folder: string, since?: Pick<Bundle, 'since' | 'earlier'>): Promise<OciLayoutTarget> {
    await mkdir(folder, { recursive: true })
    const target = new OciLayoutTarget(folder, { ...emptyBundle(), ...(await readBundle(folder)), ...since })
    if (isOciLayout(folder)) target.entries = await readIndex(folder)
    return target
  }

  async digestOf(repository: string, reference: string): Promise<string | undefined> {
    const isDigest = tryParseDigest(reference) !== undefined
    const name = `${repository}${isDigest ? '@' : ':'}${reference}`
    // The file does not show whether the index lists the manifest for this repository.
    if (this.put.has(name)) return reference
    return this.entries.find(({ annotations = {} }) => annotations[IMAGE_NAME] === name)?.digest
  }

  async hasBlob(repository: string, digest: Digest): Promise<boolean> {
    if (Object.hasOwn(this.bundle.earlier, digest)) return true
    const isHere = existsSync(fileOf(this.folder, digest))
    if (isHere) this.bundle.blobs[digest] ??= repository
    return isHere
  }

  async pushBlob(repository: string, digest: Digest, body: ReadableStream<Uint8Array>): Promise<void> {
    await this.write(digest, body)
    this.bundle.blobs[digest] = repository
  }

  private async write(digest: Digest, body: ReadableStream<Uint8Array>): Promise<void> {
    const file = fileOf(this.folder, digest)
    // Two images of one export can share a blob.
    const part = `${file}.${this.parts++}.part`
    await mkdir(join(file, '..'), { recursive: true })
    const hash = new Bun.CryptoHasher(algorithmOf(digest))
    const out = await open(part, 'w')
    try {
      for await (const chunk of body) {
        hash.update(chunk)
        await out.write(chunk)
      }
      if (hash.digest('hex') !== hexOf(digest)) throw new TransferError(`the bytes of ${digest} are damaged`)
      await out.sync()
      await rename(part, file)
    } finally {
      await out.close()
      await rm(part, { force: true })
    }
  }

  async putManifest(repository: string, reference: string, { bytes, mediaType }: Document): Promise<void> {
    const digest = tryParseDigest(reference) ?? digestOf(bytes)
    await this.write(digest, new Blob([bytes]).stream())
    const isTag = tryParseDigest(reference) === undefined
    // Referrers are not reached from a tag, so the index lists them.
    const name = `${repository}${isTag ? `:${reference}` : `@${digest}`}`
    if (!isTag) this.put.add(name)
    if (!isTag && readParts(bytes).subject === undefined) return
    const annotations = { [IMAGE_NAME]: name, ...(isTag && { [REF_NAME]: reference }) }
    const others = this.entries.filter((entry) => entry.annotations?.[IMAGE_NAME] !== name)
    this.entries = [...others, { mediaType, digest, size: bytes.length, annotations }]
  }

  /** Writes the index, which makes what was copied visible. */
  async finish(): Promise<void> {
    const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests: this.entries }
    await writeFile(join(this.folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    await writeFile(join(this.folder, BUNDLE_FILE), JSON.stringify(this.bundle))
    await writeFile(join(this.folder, 'index.json.new'), JSON.stringify(index))
    await rename(join(this.folder, 'index.json.new'), join(this.folder, 'index.json'))
  }
}

const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'

async function readIndex(folder: string): Promise<Entry[]> {
  const path = join(folder, 'index.json')
  const index = await readJson(path)
  if (Value.Check(indexModel, index)) return index.manifests ?? []
  throw new TransferError(`${path} is not an index of images`)
}

function fileOf(folder: string, digest: Digest): string {
  return join(folder, 'blobs', algorithmOf(digest), hexOf(digest))
}

/** Returns the repository of `docker.io/library/app:1` or `team/app@sha256:...`, without a host; empty for a tag alone. */
export function repositoryIn(name: string): string {
  const [path = ''] = name.split('@')
  const slash = path.lastIndexOf('/')
  const colon = path.indexOf(':', slash + 1)
  if (slash < 0 && colon < 0 && !name.includes('@')) return ''
  const repository = colon < 0 ? path : path.slice(0, colon)
  const [host = '', ...rest] = repository.split('/')
  return rest.length > 0 && /[.:]|^localhost$/.test(host) ? rest.join('/') : repository
}

/** Returns the tag of `team/app:1`, or `1` of a name that is only a tag. */
export function tagIn(name: string): string | undefined {
  if (name === '' || name.includes('@')) return undefined
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1)
  if (colon >= 0) return name.slice(colon + 1)
  return name.includes('/') ? 'latest' : name
}

/** The file of an OCI layout that lists the blobs that it contains, and those that earlier exports contain. */
export const BUNDLE_FILE = 'cay-bundle.json'

const FORMAT = 1

/** The repository of each blob, by digest. */
const blobsModel = t.Record(t.String(), t.String())

const bundleModel = t.Object({
  format: t.Literal(FORMAT),
  /** The name of the export that this one continues. */
  since: t.Optional(t.String()),
  blobs: blobsModel,
  /** The blobs of that export and those before it. */
  earlier: blobsModel,
})

export type Bundle = Static<typeof bundleModel>

/** How many blobs are asked for at the same time. */
const ASKED_AT_ONCE = 8

function emptyBundle(): Bundle {
  return { format: FORMAT, blobs: {}, earlier: {} }
}

/**
 * Reads the bundle file of a layout. Returns undefined if the layout was not created by `cay export`.
 * @throws TransferError when its format is unknown, because another version of cay created it
 */
export async function readBundle(folder: string): Promise<Bundle | undefined> {
  const path = join(folder, BUNDLE_FILE)
  if (!existsSync(path)) return undefined
  const bundle = await readJson(path)
  if (Value.Check(bundleModel, bundle)) return bundle
  throw new TransferError(`${BUNDLE_FILE} has a format that this cay does not know: export the images again`)
}

/**
 * Checks, before anything is copied, that the target has the blobs that a bundle leaves to earlier ones.
 *
 * @param hasFile whether the bundle itself has a blob
 * @param rename returns the repository of the target
 * @throws TransferError when an earlier bundle was not imported
 */
async function requireEarlier(
  bundle: Bundle,
  source: ImageSource,
  target: TransferTarget,
  { hasFile, rename }: { hasFile: (digest: Digest) => boolean; rename: (repository: string) => string },
): Promise<void> {
  const queue = new PQueue({ concurrency: ASKED_AT_ONCE })
  const missing: Digest[] = []
  const seen = new Set<string>()
  const ask = async (repository: string, digest: Digest, earlier: string) => {
    if (await target.hasBlob(rename(repository), digest)) return
    if (!(await target.hasBlob(rename(earlier), digest))) missing.push(digest)
  }
  for await (const { repository, digest } of neededBlobs(source)) {
    const earlier = bundle.earlier[digest]
    if (earlier === undefined || seen.has(digest) || hasFile(digest)) continue
    seen.add(digest)
    await queue.onSizeLessThan(ASKED_AT_ONCE)
    void queue.add(() => ask(repository, digest, earlier))
  }
  await queue.onIdle()
  if (missing.length === 0) return
  throw new TransferError(
    `this export continues ${bundle.since ?? 'another one'}, and ${missing.length} of its blobs are not in the registry, ` +
      `such as ${missing[0]}: import the earlier exports first, in order; nothing was imported`,
  )
}

/** Yields the blobs that the manifests of a layout refer to, with those of the entries of its indexes. */
async function* neededBlobs(source: ImageSource): AsyncIterable<{ repository: string; digest: Digest }> {
  const seen = new Set<string>()
  for await (const { repository, reference } of source.list()) {
    for (const waiting = [reference]; waiting.length > 0; ) {
      const next = waiting.pop() ?? ''
      const document = seen.has(next) ? undefined : await source.manifest(repository, next)
      if (next.includes(':')) seen.add(next)
      if (document === undefined) continue
      const { children, config, layers } = readParts(document.bytes)
      waiting.push(...children.map(({ digest }) => digest))
      for (const part of config ? [config, ...layers] : layers)
        yield { repository, digest: parseDigest(part.digest) }
    }
  }
}
