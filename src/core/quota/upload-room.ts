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

/** Uploads whose bytes are counted. Those of the least recently used ones are forgotten. */
const UPLOADS_MAX = 10_000

interface OpenUpload {
  namespace: string
  bytes: number
}

/**
 * Counts the bytes of uploads in progress against quotas, which count them only once their blob is linked. So uploads at the
 * same time cannot fill the disk together. Without a quota of bytes it does nothing. Uploads are known by their names, not by
 * their ids.
 */
export class UploadRoom {
  private readonly quotas: () => readonly Quota[]
  private readonly usageOf: (namespace: string) => QuotaUsage
  /** Adds to a refusal what would help. */
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
   * Reserves room for a body. One of known length is refused before it is read, and any other one as soon as what is written
   * of it passes a quota.
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

  /** Notes how many bytes an upload has between two requests. */
  settle(upload: string, bytes: number): void {
    const found = this.uploads.get(upload)
    if (found !== undefined) this.uploads.set(upload, this.counted({ ...found, bytes }))
  }

  /** Forgets an upload that has ended. */
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
