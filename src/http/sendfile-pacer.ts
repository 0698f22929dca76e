/** Bodies below this are not sent by sendfile. */
const SENDFILE_BYTES_MIN = 1024 * 1024

/** How often it is looked whether downloads still run. */
const CHECK_MILLISECONDS = 500

/** States of the pacer's thread, in the memory that it shares. */
export const PACER = { idle: 0, running: 1 } as const

/**
 * Keeps large downloads fair to every other request. Bun sends a file's body by sendfile(2), one call for all that
 * is left, which on a connection as fast as the disk lasts for as long as the download does, and nothing else is
 * served meanwhile. A signal makes such a call return with what it has sent; so while downloads run, a thread
 * sends this process SIGWINCH every half millisecond, a signal that does nothing by default and costs the idle
 * loop a few microseconds. On Linux without TLS only: elsewhere bodies are read and written in small pieces.
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
    if (bytes < SENDFILE_BYTES_MIN || this.timer !== undefined || process.platform !== 'linux') return
    this.worker ??= this.startThread()
    this.set(PACER.running)
    this.timer = setInterval(() => {
      if (this.pending() === 0) this.pause()
    }, CHECK_MILLISECONDS)
  }

  stop(): void {
    this.pause()
    this.worker?.terminate()
  }

  private pause(): void {
    clearInterval(this.timer)
    this.timer = undefined
    this.set(PACER.idle)
  }

  private set(state: number): void {
    Atomics.store(this.state, 0, state)
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
