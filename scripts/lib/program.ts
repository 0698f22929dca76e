import { readLines } from './command.ts'

/** A program that runs in the background. `await using` stops it. */
export interface Program<T> extends AsyncDisposable {
  pid: number
  /** What `isReady` returned. */
  ready: T
  /** Resolves with its exit code when it exits. */
  exited: Promise<number>
  /** Its recent output, to report a failure. */
  log(): string
  /** Stops it, and waits until it has exited and all output is read. */
  stop(): Promise<void>
}

export interface ProgramOptions<T> {
  /** Its whole environment. */
  env: Record<string, string>
  /** Returns something for the line of its output that says that it is ready. */
  isReady(line: string): T | undefined
  /** How long it can take until it is ready. */
  secondsMax?: number
  /** How many lines of its output are kept. */
  logLinesMax?: number
  /** Stops it; by default with SIGTERM. */
  stop?(child: Bun.Subprocess): Promise<void>
}

/**
 * Starts a program and waits until it is ready.
 * @throws Error with its output if it exits, or is not ready in time.
 */
export async function startProgram<T>(
  command: string[],
  { env, isReady, secondsMax = 60, logLinesMax = 500, stop: stopChild = stopProcess }: ProgramOptions<T>,
): Promise<Program<T>> {
  const child = Bun.spawn(command, { env, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const log: string[] = []
  const started = Promise.withResolvers<T>()
  const keep = (line: string) => {
    log.push(line)
    if (log.length > logLinesMax) log.shift()
    const ready = isReady(line)
    if (ready !== undefined) started.resolve(ready)
  }
  const drained = Promise.all([readLines(child.stdout, keep), readLines(child.stderr, keep)])
  const stop = async () => {
    await stopChild(child)
    await drained
  }
  const fail = (why: string) => started.reject(new Error(`${command[0]} ${why}\n${log.join('\n')}`))
  const silent = setTimeout(() => fail('is not ready in time'), secondsMax * 1000)
  child.exited.then(() => drained).then(() => fail(`ended with ${child.exitCode ?? child.signalCode}`))
  try {
    const ready = await started.promise
    const { pid, exited } = child
    return { pid, ready, exited, log: () => log.join('\n'), stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  } finally {
    clearTimeout(silent)
  }
}

/** Stops a process with a signal, or by force if it does not exit in time, and waits until it has exited. */
export async function stopProcess(
  child: Bun.Subprocess,
  signal: NodeJS.Signals = 'SIGTERM',
  secondsMax = 30,
): Promise<void> {
  child.kill(signal)
  const force = setTimeout(() => child.kill('SIGKILL'), secondsMax * 1000)
  await child.exited
  clearTimeout(force)
}
