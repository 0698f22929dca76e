declare const self: Worker

/** The pacer's thread: while its period, in microseconds, is not 0, it interrupts the serving thread's system calls. */
self.onmessage = ({ data }: MessageEvent<SharedArrayBuffer>) => {
  const state = new Int32Array(data)
  for (;;) {
    Atomics.wait(state, 0, 0)
    const microseconds = Atomics.load(state, 0)
    Atomics.wait(state, 0, microseconds, microseconds / 1000)
    if (Atomics.load(state, 0) !== 0) process.kill(process.pid, 'SIGWINCH')
  }
}
