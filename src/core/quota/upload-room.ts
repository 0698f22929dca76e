import { LRUCache } from 'lru-cache'
import type { UploadBody } from '../../domain/blob-body.ts'
import {
  type AppliedQuota,
  bytesDenied,
  namespaceOf,
  type Quota,
  type QuotaUsage,
  quotasFor,
  WHOLE_SERVER,
} from '../../domain/quota.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { ExplainDenial } from './denials.ts'

/** The maximum number of uploads that are counted. The least recently used ones are dropped. */
const UPLOADS_MAX = 10_000

interface OpenUpload {
  namespace: string
  bytes: number
}

/**
 * Counts the bytes of uploads in progress against quotas. The quotas themselves count a blob only once it is linked, so
 * concurrent uploads could otherwise fill the disk together. Does nothing without a quota of bytes. Uploads are
 * identified by their names, not their ids.
 */
export class UploadRoom {
  private readonly quotas: () => readonly Quota[]
  private readonly usageOf: (namespace: string) => QuotaUsage
  /** Explains the error of a full quota. */
  readonly explain: ExplainDenial
  private readonly uploads = new LRUCache<string, OpenUpload>({
    max: UPLOADS_MAX,
    dispose: ({ namespace, bytes }) => this.add(namespace, -bytes),
  })
  /** Bytes of the counted uploads, by namespace. */
  private readonly sums = new Map<string, number>()

  constructor(
    quotas: () => readonly Quota[],
    usageOf: (namespace: string) => QuotaUsage,
    explain: ExplainDenial,
  ) {
    this.quotas = quotas
    this.usageOf = usageOf
    this.explain = explain
  }

  /**
   * Reserves room for a body. A body of known length is refused before it is read. Any other is refused as soon as the
   * bytes written exceed a quota.
   *
   * @throws RegistryError DENIED
   */
  reserve(repository: RepositoryName, upload: string, body: UploadBody): void {
    const namespace = namespaceOf(repository)
    const applied = quotasFor(this.quotas(), namespace).filter(({ bytesMax }) => bytesMax !== undefined)
    if (applied.length === 0) return
    const { length = 0, onWritten } = body
    this.check(applied, length)
    this.grow(namespace, upload, length)
    let reserved = length
    body.onWritten = (part) => {
      onWritten?.(part)
      const more = Math.max(0, part.length - reserved)
      reserved = Math.max(0, reserved - part.length)
      if (more === 0) return
      this.grow(namespace, upload, more)
      this.check(applied, 0)
    }
  }

  /** Records how many bytes an upload has between two requests. */
  settle(upload: string, bytes: number): void {
    const found = this.uploads.get(upload)
    if (found !== undefined) this.uploads.set(upload, this.counted({ ...found, bytes }))
  }

  /** Stops counting an upload that has ended. */
  release(upload: string): void {
    this.uploads.delete(upload)
  }

  private grow(namespace: string, upload: string, bytes: number): void {
    const before = this.uploads.get(upload)?.bytes ?? 0
    this.uploads.set(upload, this.counted({ namespace, bytes: before + bytes }))
  }

  private counted(upload: OpenUpload): OpenUpload {
    this.add(upload.namespace, upload.bytes)
    return upload
  }

  private add(namespace: string, bytes: number): void {
    for (const name of [namespace, WHOLE_SERVER]) {
      const sum = (this.sums.get(name) ?? 0) + bytes
      if (sum === 0) this.sums.delete(name)
      else this.sums.set(name, sum)
    }
  }

  private check(applied: readonly AppliedQuota[], more: number): void {
    for (const quota of applied) {
      const used = this.usageOf(quota.counted).bytes
      const uploading = this.sums.get(quota.counted) ?? 0
      if (used + uploading + more > (quota.bytesMax ?? 0)) throw bytesDenied(quota, used, uploading)
    }
  }
}
