import { build } from '../build.ts'
import { type Program, startProgram, stopProcess } from './program.ts'
import { Registry } from './registry.ts'
import { temporaryFolder } from './temporary-folder.ts'

/** A running cay. `await using` stops it. */
export interface Server extends Omit<Program<string>, 'ready'> {
  /** Its address, `host:port`. */
  address: string
  port: number
  /** A client without an account. */
  registry: Registry
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
  const { access = 'open', logLinesMax, startSecondsMax: secondsMax = 20 } = options
  const command = [executable, 'serve', '--listen', '127.0.0.1:0', '--data', data, '--access', access]
  const server = await startProgram([...command, ...(options.args ?? [])], {
    env: { PATH: process.env.PATH ?? '', HOME: data, ...options.env },
    isReady: addressIn,
    secondsMax,
    ...(logLinesMax !== undefined && { logLinesMax }),
    async stop(child) {
      await stopProcess(child)
      await folder?.[Symbol.asyncDispose]()
    },
  })
  const address = server.ready
  return { ...server, address, port: Number(address.split(':')[1]), registry: new Registry(address) }
}

/** Returns the address in the log line `listening`; undefined for other lines. */
function addressIn(line: string): string | undefined {
  if (!line.startsWith('{') || !line.includes('"listening"')) return undefined
  const entry: { msg?: unknown; address?: unknown } = JSON.parse(line)
  return entry.msg === 'listening' && typeof entry.address === 'string' ? entry.address : undefined
}
