import { IDLE } from './sendfile-pacer.ts'

declare const self: Worker

/** The pacer's thread: while its period is set, it interrupts the serving thread's system calls. */
self.onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  const state = new Int32Array(data)
  for (;;) {
    Atomics.wait(state, 0, IDLE)
    const microseconds = Atomics.load(state, 0)
    Atomics.wait(state, 0, microseconds, microseconds / 1000)
    if (Atomics.load(state, 0) !== IDLE) process.kill(process.pid, 'SIGWINCH')
  }
}
