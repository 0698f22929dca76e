import type { ManifestRow } from '../../metadata/content/manifests.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import { type ManifestParts, readParts } from '../../oci/manifest-parts.ts'
import type { RepositoryName } from '../../oci/reference.ts'

/** The bytes of manifests that are read for one answer, */
const BYTES_MAX = 8 * 1024 * 1024
/** each of which counts for so many at least. */
const BYTES_EACH_MIN = 4096

/** Entries of one index that are counted; it is described as cut where it has more. */
const CHILDREN_MAX = 1000

/** How deep indexes in indexes are followed. */
const DEPTH_MAX = 3

export interface ReadManifest {
  row: Pick<ManifestRow, 'id' | 'storedAs' | 'mediaType' | 'size'>
  parts: ManifestParts
}

/** Reads the manifests of one repository that one answer tells of: each once, and altogether so many bytes. */
export class ManifestReading {
  /** Something was not read, for it would have been too much. */
  isCut = false
  private readonly metadata: Metadata
  private readonly repository: RepositoryName
  private readonly read = new Map<number, ReadManifest>()
  private bytesLeft = BYTES_MAX

  constructor(metadata: Metadata, repository: RepositoryName) {
    this.metadata = metadata
    this.repository = repository
  }

  /** The manifest of a digest, when it is here and not too much; `isHere` tells these apart. */
  find(digest: Digest): { isHere: boolean; manifest: ReadManifest | undefined } {
    const row = this.metadata.manifests.findByDigest(this.repository, digest)
    return { isHere: row !== undefined, manifest: row && this.get(row) }
  }

  /** The manifest of a row, unless it has just gone; the first one that is asked for is never too much. */
  get(row: ReadManifest['row']): ReadManifest | undefined {
    const known = this.read.get(row.id)
    if (known) return known
    const bytes = Math.max(row.size, BYTES_EACH_MIN)
    if (bytes > this.bytesLeft && this.read.size > 0) {
      this.isCut = true
      return undefined
    }
    const stored = this.metadata.manifests.findBytes(row)
    if (stored === undefined) return undefined
    this.bytesLeft -= bytes
    const found = { row, parts: readParts(stored) }
    this.read.set(row.id, found)
    return found
  }

  /** The bytes of a manifest and of everything below it, each digest once. */
  totalBytes({ row, parts }: ReadManifest): number {
    const sizes = new Map<Digest, number>()
    this.weigh(parts, sizes, 0)
    return sizes.values().reduce((sum, one) => sum + one, row.size)
  }

  private weigh(
    { config, layers, children }: ManifestParts,
    sizes: Map<Digest, number>,
    depth: number,
  ): void {
    for (const { digest, size } of [...(config ? [config] : []), ...layers]) {
      sizes.set(digest, size || (this.metadata.blobs.findSize(this.repository, digest) ?? 0))
    }
    for (const { digest, size } of children.slice(0, CHILDREN_MAX)) {
      if (sizes.has(digest)) continue
      sizes.set(digest, size)
      const child = depth < DEPTH_MAX ? this.find(digest).manifest : undefined
      if (child) this.weigh(child.parts, sizes, depth + 1)
    }
  }
}
