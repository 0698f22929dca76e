import type { ManifestRow } from '../../metadata/content/manifests/manifests.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { ManifestBrief } from '../../oci/manifest-brief.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { ContentReader } from '../content-reader.ts'

/** How many bytes of manifests are read for one answer. */
const BYTES_MAX = 8 * 1024 * 1024
/** How many bytes a manifest counts for at least. */
const BYTES_EACH_MIN = 4096

/** How many parts are looked up in the database for one answer, to add up sizes. */
const LOOKUPS_MAX = 50_000

/** After this many bytes, or lookups, other requests get a turn. */
const TURN_BYTES = 256 * 1024
const TURN_LOOKUPS = 250

/** How deep nested indexes are followed. */
const DEPTH_MAX = 3

export interface ReadManifest {
  row: Pick<ManifestRow, 'id' | 'digest' | 'storedAs' | 'mediaType' | 'size'>
  brief: ManifestBrief
}

/** Reads the manifests that one answer needs from one repository: each once, within a total number of bytes. */
export class ManifestReading {
  /** Whether something was not read because of the limits. */
  truncated = false
  private readonly metadata: Metadata
  private readonly reader: ContentReader
  private readonly repository: RepositoryName
  private readonly read = new Map<number, ReadManifest>()
  private bytesLeft = BYTES_MAX
  private bytesInTurn = 0
  private lookupsLeft = LOOKUPS_MAX

  constructor(metadata: Metadata, reader: ContentReader, repository: RepositoryName) {
    this.metadata = metadata
    this.reader = reader
    this.repository = repository
  }

  /** Returns a manifest if it is stored and within the limits. `exists` says whether it is stored. */
  async find(digest: Digest): Promise<{ exists: boolean; manifest: ReadManifest | undefined }> {
    const row = this.metadata.manifests.findByDigest(this.repository, digest)
    return { exists: row !== undefined, manifest: row && (await this.get(row)) }
  }

  /** Returns the manifest of a row, unless it was just removed. The first one is read whatever its size. */
  async get(row: ReadManifest['row']): Promise<ReadManifest | undefined> {
    const known = this.read.get(row.id)
    if (known) return known
    const bytes = Math.max(row.size, BYTES_EACH_MIN)
    if (bytes > this.bytesLeft && this.read.size > 0) {
      this.truncated = true
      return undefined
    }
    const brief = await this.reader.manifestBrief(row, () => this.metadata.manifests.findBytes(row.storedAs))
    if (brief === undefined) return undefined
    this.bytesLeft -= bytes
    const found = { row, brief }
    if (found.brief.truncated) this.truncated = true
    this.read.set(row.id, found)
    await this.count(row.size)
    return found
  }

  /** Counts bytes that were read, also of what a manifest references. Other requests get a turn now and then. */
  async count(bytes: number): Promise<void> {
    this.bytesInTurn += bytes
    if (this.bytesInTurn <= TURN_BYTES) return
    this.bytesInTurn = 0
    await turn()
  }

  /**
   * Sums the bytes of a manifest and everything it references. Each digest counts once. Sets `truncated` if the limits left
   * something out.
   */
  async totalBytes({ row, brief }: ReadManifest): Promise<number> {
    const sizes = new Map<Digest, number>()
    await this.weigh(brief, sizes, 0)
    return sizes.values().reduce((sum, one) => sum + one, row.size)
  }

  private async weigh(
    { config, layers, children, truncated }: ManifestBrief,
    sizes: Map<Digest, number>,
    depth: number,
  ): Promise<void> {
    if (truncated) this.truncated = true
    for (const { digest, size } of [...(config ? [config] : []), ...layers]) {
      const isKnown = size > 0 || !(await this.mayLookUp())
      sizes.set(digest, isKnown ? size : (this.metadata.blobs.findSize(this.repository, digest) ?? 0))
    }
    for (const { digest, size } of children) {
      if (sizes.has(digest)) continue
      sizes.set(digest, size)
      if (depth === DEPTH_MAX || !(await this.mayLookUp())) continue
      const { manifest } = await this.find(digest)
      if (manifest) await this.weigh(manifest.brief, sizes, depth + 1)
    }
  }

  /** Counts a lookup. Returns whether it is within the limit. */
  private async mayLookUp(): Promise<boolean> {
    if (this.lookupsLeft === 0) {
      this.truncated = true
      return false
    }
    this.lookupsLeft--
    if (this.lookupsLeft % TURN_LOOKUPS === 0) await turn()
    return true
  }
}
