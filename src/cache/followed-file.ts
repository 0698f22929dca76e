import type { ByteRange } from '../oci/reference.ts'
import type { ByteSink, GrowingFile } from '../storage/blob-store.ts'
import type { SharedReads } from '../storage/shared-reads.ts'
import type { Pace } from './pace.ts'

/** The size of one write to a client. The first write is small, so that many new clients are served in one turn. */
const WRITE_BYTES = 128 * 1024
const FIRST_WRITE_BYTES = 16 * 1024

/** The size of one write while there are few clients. Each write of a slow client is in memory until it is sent. */
const LARGE_WRITE_BYTES = 256 * 1024
const FEW_CLIENTS = 4

interface FollowedFileOptions {
  /** Identifies the file in the shared reads. */
  id: string
  open: () => Promise<GrowingFile>
  reads: SharedReads
  pace: Pace
}

/**
 * A file that grows while clients read it. Each client gets the last byte of its body or range only after the digest
 * has been verified.
 */
export class FollowedFile {
  /** Whether a client may have received bytes. */
  isSent = false
  private readonly options: FollowedFileOptions
  private bytes = 0
  private isVerified = false
  private isOver = false
  private failure: Error | undefined
  private change = Promise.withResolvers<void>()
  private file: Promise<GrowingFile> | undefined
  private followers = 0

  constructor(options: FollowedFileOptions) {
    this.options = options
  }

  /** How many bytes it has. */
  get size(): number {
    return this.bytes
  }

  /** Continues at a size, which is less than before if the file starts over. */
  resume(size: number): void {
    this.bytes = size
  }

  /** Shows clients a part that was appended. Its memory may be reused afterwards. */
  append(part: Uint8Array): void {
    const { id, reads } = this.options
    if (this.followers > 0) reads.keep(id, this.bytes, part)
    this.bytes += part.length
    this.changed()
  }

  /** Lets clients have the last byte, because the digest is correct. */
  allowEnd(): void {
    this.isVerified = true
    this.changed()
  }

  /** Stops the growth. After a failure, clients that need further bytes fail, and others continue. */
  end(failure: Error | undefined): void {
    this.failure = failure
    this.isOver = true
    this.changed()
    this.closeFile()
  }

  /** Sends a range to a client as it arrives. Rejects if the file ends without it. */
  async feed({ start, end }: ByteRange, sink: ByteSink): Promise<void> {
    const { id, open, reads, pace } = this.options
    this.followers++
    let most = FIRST_WRITE_BYTES
    try {
      for (let at = start; at < end; ) {
        const limit = await this.waitFor(at, end)
        this.file ??= open()
        const file = await this.file
        const write = (bytes: Uint8Array) => {
          at += bytes.length
          return sink.write(bytes)
        }
        while (at < limit) {
          const length = Math.min(most, limit - at)
          most = this.followers > FEW_CLIENTS ? WRITE_BYTES : LARGE_WRITE_BYTES
          const pause = pace.take(length)
          if (pause !== undefined) await pause
          const written = reads.use(id, file, at, at + length, write)
          if (written !== true && !(await written)) return
        }
      }
    } finally {
      this.followers--
      this.closeFile()
    }
  }

  /** Waits until the byte at `at` of a body that ends at `end` may be sent. Returns the offset up to which they may. */
  async waitFor(at: number, end: number): Promise<number> {
    for (;;) {
      const limit = this.isVerified ? end : Math.min(this.bytes, end - 1)
      if (limit > at) {
        this.isSent = true
        return limit
      }
      if (this.failure !== undefined) throw this.failure
      await this.change.promise
    }
  }

  private changed(): void {
    const { resolve } = this.change
    this.change = Promise.withResolvers()
    resolve()
  }

  private closeFile(): void {
    if (!this.isOver || this.followers > 0) return
    const { file } = this
    this.file = undefined
    file?.then((opened) => opened.close()).catch(() => {})
  }
}
