/** Bodies below this are not sent by sendfile. */
const SENDFILE_BYTES_MIN = 1024 * 1024

/** How often it is looked whether downloads still run. */
const CHECK_MILLISECONDS = 500

/** How long one sendfile may keep the serving thread, in microseconds: alone, and beside other requests. */
const ALONE_MICROSECONDS = 4000
const BESIDE_OTHERS_MICROSECONDS = 500

/** What the pacer's thread finds in the memory that it shares while it has nothing to do; otherwise its period. */
export const IDLE = 0

/**
 * Keeps large downloads fair to every other request. Bun sends a file's body by sendfile(2), one call for all that
 * is left, which on a connection as fast as the disk lasts for as long as the download does, and nothing else is
 * served meanwhile. A signal makes such a call return with what it has sent; so while downloads run, a thread
 * sends this process SIGWINCH now and then, a signal that does nothing by default and costs the idle loop a few
 * microseconds. On Linux without TLS only: elsewhere bodies are read and written in small pieces.
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

  /** A body of so many bytes is about to be sent from a file. */
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

/** That there is a handler is what makes the signal interrupt a system call. */
function ignore(): void {}
