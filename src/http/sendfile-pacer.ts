/** Bun does not use sendfile for smaller bodies. */
const SENDFILE_BYTES_MIN = 1024 * 1024

/** How often running downloads are looked for. */
const CHECK_MILLISECONDS = 500

/** How long one sendfile call may block the serving thread, in microseconds: without and with other requests. */
const ALONE_MICROSECONDS = 4000
const BESIDE_OTHERS_MICROSECONDS = 500

/** The value in the shared memory that pauses the pacer's thread. Any other value is its period. */
export const IDLE = 0

/**
 * Keeps large downloads from blocking other requests. Bun sends the rest of a file with a single sendfile(2) call. On a
 * connection as fast as the disk, that call lasts as long as the download, and nothing else is served meanwhile. A
 * signal makes the call return early, so during downloads a thread periodically sends this process SIGWINCH, which has
 * no effect by default and costs an idle loop a few microseconds. Needed only on Linux without TLS, because elsewhere
 * Bun reads and writes bodies in small pieces.
 */
export class SendfilePacer {
  private readonly pending: () => number
  private readonly state = new Int32Array(new SharedArrayBuffer(4))
  private worker: Worker | undefined
  private timer: Timer | undefined

  /** @param pending how many requests are in flight */
  constructor(pending: () => number) {
    this.pending = pending
  }

  /** Call it before a body of this many bytes is sent from a file. */
  begin(bytes: number): void {
    if (bytes < SENDFILE_BYTES_MIN || process.platform !== 'linux') return
    if (this.timer !== undefined) {
      this.pace()
      return
    }
    this.worker ??= this.startThread()
    this.pace()
    this.timer = setInterval(() => {
      if (this.pending() === 0) this.pause()
      else this.pace()
    }, CHECK_MILLISECONDS)
  }

  stop(): void {
    this.pause()
    this.worker?.terminate()
  }

  private pace(): void {
    this.set(this.pending() > 1 ? BESIDE_OTHERS_MICROSECONDS : ALONE_MICROSECONDS)
  }

  private pause(): void {
    clearInterval(this.timer)
    this.timer = undefined
    this.set(IDLE)
  }

  private set(microseconds: number): void {
    Atomics.store(this.state, 0, microseconds)
    Atomics.notify(this.state, 0)
  }

  private startThread(): Worker {
    process.on('SIGWINCH', ignore)
    const worker = new Worker(new URL('./pacer.ts', import.meta.url))
    worker.unref()
    worker.postMessage(this.state.buffer)
    return worker
  }
}

/** Does nothing, but a signal interrupts a system call only if it has a handler. */
function ignore(): void {}
