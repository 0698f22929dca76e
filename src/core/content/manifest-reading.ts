import type { ManifestRow } from '../../metadata/content/manifests.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { ManifestBrief } from '../../oci/manifest-brief.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ContentReader } from '../content-reader.ts'

/** The bytes of manifests that are read for one answer, */
const BYTES_MAX = 8 * 1024 * 1024
/** each of which counts for so many at least. */
const BYTES_EACH_MIN = 4096

/** After so many bytes of manifests, other requests have their turn. */
const TURN_BYTES = 256 * 1024

/** How deep indexes in indexes are followed. */
const DEPTH_MAX = 3

export interface ReadManifest {
  row: Pick<ManifestRow, 'id' | 'digest' | 'storedAs' | 'mediaType' | 'size'>
  brief: ManifestBrief
}

/** Reads the manifests of one repository that one answer tells of: each once, and altogether so many bytes. */
export class ManifestReading {
  /** Something was not read, for it would have been too much. */
  truncated = false
  private readonly metadata: Metadata
  private readonly reader: ContentReader
  private readonly repository: RepositoryName
  private readonly read = new Map<number, ReadManifest>()
  private bytesLeft = BYTES_MAX
  private bytesInTurn = 0

  constructor(metadata: Metadata, reader: ContentReader, repository: RepositoryName) {
    this.metadata = metadata
    this.reader = reader
    this.repository = repository
  }

  /** The manifest of a digest, when it is here and not too much; `exists` tells these apart. */
  async find(digest: Digest): Promise<{ exists: boolean; manifest: ReadManifest | undefined }> {
    const row = this.metadata.manifests.findByDigest(this.repository, digest)
    return { exists: row !== undefined, manifest: row && (await this.get(row)) }
  }

  /** The manifest of a row, unless it has just gone; the first one that is asked for is never too much. */
  async get(row: ReadManifest['row']): Promise<ReadManifest | undefined> {
    const known = this.read.get(row.id)
    if (known) return known
    const bytes = Math.max(row.size, BYTES_EACH_MIN)
    if (bytes > this.bytesLeft && this.read.size > 0) {
      this.truncated = true
      return undefined
    }
    const brief = await this.reader.manifestBrief(row, () => this.metadata.manifests.findBytes(row))
    if (brief === undefined) return undefined
    this.bytesLeft -= bytes
    const found = { row, brief }
    if (found.brief.truncated) this.truncated = true
    this.read.set(row.id, found)
    this.bytesInTurn += row.size
    if (this.bytesInTurn > TURN_BYTES) {
      this.bytesInTurn = 0
      await new Promise((resolve) => setImmediate(resolve))
    }
    return found
  }

  /** The bytes of a manifest and of everything below it, each digest once. */
  async totalBytes({ row, brief }: ReadManifest): Promise<number> {
    const sizes = new Map<Digest, number>()
    await this.weigh(brief, sizes, 0)
    return sizes.values().reduce((sum, one) => sum + one, row.size)
  }

  private async weigh(
    { config, layers, children }: ManifestBrief,
    sizes: Map<Digest, number>,
    depth: number,
  ): Promise<void> {
    for (const { digest, size } of [...(config ? [config] : []), ...layers]) {
      sizes.set(digest, size || (this.metadata.blobs.findSize(this.repository, digest) ?? 0))
    }
    for (const { digest, size } of children) {
      if (sizes.has(digest)) continue
      sizes.set(digest, size)
      const child = depth < DEPTH_MAX ? (await this.find(digest)).manifest : undefined
      if (child) await this.weigh(child.brief, sizes, depth + 1)
    }
  }
}
