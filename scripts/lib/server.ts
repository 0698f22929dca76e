import { build } from '../build.ts'
import { readLines } from './command.ts'
import { stopProcess } from './stop-process.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** A running cay. `await using` stops it. */
export interface Server extends AsyncDisposable {
  /** Its address, `host:port`. */
  address: string
  pid: number
  /** Resolves with its exit code when it exits. */
  exited: Promise<number>
  /** Its recent output, to report a failure. */
  log(): string
  /** Stops it with SIGTERM, or by force if it does not exit, and deletes its temporary data folder. */
  stop(): Promise<void>
}

export interface ServerOptions {
  /** The data folder, which is kept; by default a temporary one. */
  data?: string
  /** The setting `access`; by default everybody can do everything. */
  access?: 'accounts' | 'open'
  /** More arguments of `cay serve`. */
  args?: string[]
  env?: Record<string, string>
  /** How many lines of its log are kept. */
  logLinesMax?: number
  /** How long it can take until it listens. */
  startSecondsMax?: number
  /** The executable; by default `$CAY_EXECUTABLE`, or the one that `build` builds. */
  executable?: string
}

/**
 * Starts the executable on a free port of loopback and waits until it listens.
 * @throws Error with its output if it exits or prints nothing.
 */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const executable = options.executable ?? process.env.CAY_EXECUTABLE ?? (await build())
  const folder = options.data === undefined ? await temporaryFolder('data') : undefined
  const data = options.data ?? folder?.path ?? ''
  const { access = 'open', logLinesMax = 500, startSecondsMax = 20 } = options
  const command = [executable, 'serve', '--listen', '127.0.0.1:0', '--data', data, '--access', access]
  const child = Bun.spawn([...command, ...(options.args ?? [])], {
    env: { PATH: process.env.PATH ?? '', HOME: data, ...options.env },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const log: string[] = []
  const listening = Promise.withResolvers<string>()
  const keep = (line: string) => {
    log.push(line)
    if (log.length > logLinesMax) log.shift()
    const address = addressIn(line)
    if (address) listening.resolve(address)
  }
  const drained = Promise.all([readLines(child.stdout, keep), readLines(child.stderr, keep)])
  const stop = async () => {
    await stopProcess(child)
    await drained
    await folder?.[Symbol.asyncDispose]()
  }
  const fail = (why: string) => listening.reject(new Error(`${executable} ${why}\n${log.join('\n')}`))
  const silent = setTimeout(() => fail('does not listen'), startSecondsMax * 1000)
  child.exited.then(() => drained).then(() => fail(`ended with ${child.exitCode ?? child.signalCode}`))
  try {
    const address = await listening.promise
    return {
      address,
      pid: child.pid,
      exited: child.exited,
      log: () => log.join('\n'),
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  } finally {
    clearTimeout(silent)
  }
}

/** Returns the address in the log line `listening`; undefined for other lines. */
function addressIn(line: string): string | undefined {
  if (!line.startsWith('{') || !line.includes('"listening"')) return undefined
  const entry: { msg?: unknown; address?: unknown } = JSON.parse(line)
  return entry.msg === 'listening' && typeof entry.address === 'string' ? entry.address : undefined
}
