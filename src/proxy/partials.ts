import type { Logger } from 'pino'
import type { Upload } from '../storage/blob-store.ts'
import type { FillStore } from '../storage/uploads/fill-store.ts'

export interface PartialsOptions {
  store: Pick<FillStore, 'list' | 'cancel'>
  /** Reports whether a running fill uses the upload of this id. */
  isRunning(id: string): boolean
  now: () => number
  log: Logger
}

/** What an interrupted fill left. */
interface Partial {
  upload: Upload
  /** In bytes. */
  size: number
  /** When it last grew, in milliseconds since 1970. */
  changedAt: number
}

/** Which partial blobs to delete. */
interface Drop {
  /** Those that have not grown since then, in milliseconds since 1970. */
  before: number
  /** How many bytes to free; by default, all of them. */
  bytes?: number | undefined
  /** The upload that is about to be resumed. */
  keep?: Upload | undefined
}

/**
 * Knows the partial blobs on the disk: what interrupted fills left, for the next request to resume. The disk is read once,
 * when `load` is first called. From then on, fills report what they leave.
 */
export class Partials {
  private readonly options: PartialsOptions
  /** By the id of the upload, those that have not grown for longest first. */
  private readonly known = new Map<string, Partial>()
  private sum = 0
  private loading: Promise<void> | undefined

  constructor(options: PartialsOptions) {
    this.options = options
  }

  /** Reads which partial blobs an earlier process left. Before that, none is known. */
  load(): Promise<void> {
    this.loading ??= this.readAll().catch((cause) => {
      this.options.log.error({ cause }, 'cannot list interrupted downloads')
      this.loading = undefined
    })
    return this.loading
  }

  /** Records how many bytes a fill has left behind when it ended. */
  note(upload: Upload, size: number): void {
    const changedAt = this.options.now()
    // Otherwise the file is listed when they are loaded.
    this.loading?.then(() => this.put({ upload, size, changedAt }))
  }

  /** Returns how many bytes an upload has. */
  sizeOf({ id }: Upload): number {
    return this.known.get(id)?.size ?? 0
  }

  /** Returns the bytes of those that no fill is resuming. */
  bytes(running: readonly { upload: Upload }[]): number {
    return running.reduce((rest, { upload }) => rest - this.sizeOf(upload), this.sum)
  }

  /**
   * Deletes those that no fill is resuming, the oldest first. Returns how many bytes they had. A fill that begins
   * meanwhile waits until its old bytes are deleted.
   */
  async drop({ before, bytes = Number.POSITIVE_INFINITY, keep }: Drop): Promise<number> {
    const { store, isRunning } = this.options
    let freed = 0
    for (const { upload, size, changedAt } of [...this.known.values()]) {
      if (freed >= bytes) break
      const isUsed = isRunning(upload.id) || upload.id === keep?.id
      if (isUsed || changedAt >= before || this.known.get(upload.id)?.size !== size) continue
      this.remove(upload.id)
      await store.cancel(upload)
      freed += size
    }
    return freed
  }

  private async readAll(): Promise<void> {
    const { store, now } = this.options
    const found: Partial[] = []
    for await (const { upload, size, changedAt } of store.list()) {
      // Times of files follow the machine's clock, which may not be the one of `now`.
      found.push({ upload, size, changedAt: now() - Math.max(0, Date.now() - changedAt) })
    }
    for (const partial of found.sort((a, b) => a.changedAt - b.changedAt)) this.put(partial)
  }

  private put(partial: Partial): void {
    this.remove(partial.upload.id)
    if (partial.size === 0) return
    this.known.set(partial.upload.id, partial)
    this.sum += partial.size
  }

  private remove(id: string): void {
    this.sum -= this.known.get(id)?.size ?? 0
    this.known.delete(id)
  }
}
