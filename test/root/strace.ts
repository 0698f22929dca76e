import { realpath, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { startProgram, stopProcess } from '../../scripts/lib/program.ts'
import { type Server, startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'

/** How long strace may take to detach before it is killed. */
const detachSecondsMax = 5
const attachSecondsMax = 20

/** A server whose system calls are recorded. */
export interface TracedServer extends AsyncDisposable {
  server: Server
  /** The path of its data folder in system calls. */
  data: string
  /** Stops the server and returns the record. */
  finish(): Promise<string[]>
}

/**
 * Starts the executable under strace, which intercepts only some calls and runs all others at full speed. The started
 * process is the server, not strace, so signals reach it.
 */
export async function startTraced(options: string[]): Promise<TracedServer> {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await temporaryFolder('strace'))
  const data = join(await realpath(folder.path), 'data')
  const trace = join(folder.path, 'trace')
  const executable = await wrapInStrace(folder.path, ['--seccomp-bpf', '-o', trace, ...options])
  const server = resources.use(await startServer({ executable, data }))
  const kept = resources.move()
  return {
    server,
    data,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
    async finish() {
      await server.stop()
      return (await Bun.file(trace).text()).split('\n')
    },
  }
}

/** Writes a program that runs the executable under strace, and returns its path. */
export async function wrapInStrace(folder: string, options: string[]): Promise<string> {
  const wrapper = join(folder, 'cay')
  const executable = process.env.CAY_EXECUTABLE ?? (await build())
  const command = ['strace', '-D', '-f', '-q', ...options, executable]
  await writeFile(wrapper, `#!/bin/sh\nexec ${command.join(' ')} "$@"\n`, { mode: 0o755 })
  return wrapper
}

/**
 * Makes system calls of a running server fail or wait until the end of the block that holds this by `await using`.
 *
 * @param injection what strace takes after `inject=`, for example `fsync:error=EIO`
 * @param paths only calls on these files
 */
export async function afflict(
  server: Server,
  injection: string,
  paths: string[] = [],
): Promise<AsyncDisposable> {
  const only = paths.flatMap((path) => ['-P', path])
  const calls = injection.slice(0, injection.indexOf(':'))
  const options = ['-f', '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${injection}`, ...only]
  return await startProgram(['strace', '-I', 'waiting', ...options, '-p', String(server.pid)], {
    env: { PATH: process.env.PATH ?? '' },
    isReady: (line) => line.includes(' attached') || undefined,
    secondsMax: attachSecondsMax,
    // strace can wait forever for a thread of a process that has died.
    stop: (child) => stopProcess(child, 'SIGINT', detachSecondsMax),
  })
}

/** A system call, with the lines of the record where it began and ended. */
export interface SystemCall {
  name: string
  /** The name, the arguments and the result. */
  text: string
  began: number
  ended: number
}

/** Returns the calls of a record, in the order in which they ended. A call that another thread interrupted has two lines. */
export function parseTrace(lines: string[]): SystemCall[] {
  const unfinished = new Map<string, SystemCall>()
  const calls: SystemCall[] = []
  for (const [at, line] of lines.entries()) {
    const [, thread = '', rest = ''] = /^(\d+) +(?:[\d:.]+ )?(.*)$/.exec(line) ?? []
    const [, name] = /^(\w+)\(/.exec(rest) ?? []
    const [, resumed] = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest) ?? []
    if (name !== undefined && rest.endsWith('<unfinished ...>')) {
      unfinished.set(thread, { name, text: rest.slice(0, -'<unfinished ...>'.length), began: at, ended: at })
    } else if (name !== undefined) {
      calls.push({ name, text: rest, began: at, ended: at })
    } else if (resumed !== undefined) {
      const call = unfinished.get(thread)
      if (call !== undefined) calls.push({ ...call, text: call.text + resumed, ended: at })
    }
  }
  return calls
}
