import { PACER } from './sendfile-pacer.ts'

declare const self: Worker

/** How long one sendfile may keep the serving thread. */
const MILLISECONDS = 0.5

/** The pacer's thread: while it is told to run, it interrupts the serving thread's system calls. */
self.onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  const state = new Int32Array(data)
  for (;;) {
    Atomics.wait(state, 0, PACER.idle)
    Atomics.wait(state, 0, PACER.running, MILLISECONDS)
    if (Atomics.load(state, 0) === PACER.running) process.kill(process.pid, 'SIGWINCH')
  }
}
