import { mkdir } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import type { CaseReport } from '../lib/cases.ts'
import { type Run, runCommand, wordsOf } from '../lib/command.ts'
import { startProgram } from '../lib/program.ts'
import { bringTools, type ToolName } from '../toolchain/toolchain.ts'

/** A real client of registries, with its cases. */
export interface Client {
  name: string
  tools: ToolName[]
  /** Prepares the client's home, and returns variables for the environment of each command. */
  setUp?(home: string): Promise<{ env: Record<string, string>; tearDown?: () => Promise<void> }>
  cases: Record<string, (context: CaseContext) => Promise<void>>
}

/** What a case can use. */
export interface CaseContext {
  /** The registry, `host:port`, which speaks plain HTTP. */
  registry: string
  /** An empty folder, where commands run. */
  folder: string
  /**
   * Runs a command of the client to its end and returns its standard output.
   * @throws CommandError with its output, if it fails.
   */
  run: Run
  /** Does the same, with this standard input. */
  runWithInput(input: string, ...command: string[]): Promise<string>
}

/** Starts a daemon of a client, which prints `ready` when it is. Returns a function that stops it. */
export async function startDaemon(
  command: string[],
  home: string,
  ready: string,
  env: Record<string, string> = {},
): Promise<() => Promise<void>> {
  const daemon = await startProgram(command, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, ...env },
    isReady: (line) => line.includes(ready) || undefined,
  })
  return daemon.stop
}

/** Runs a client's cases one after the other, in a home of its own below `folder`. */
export async function runClient(
  client: Client,
  registry: string,
  folder: string,
  report: CaseReport,
): Promise<void> {
  const paths = Object.values(await bringTools(client.tools)).map((path) => dirname(path))
  const home = join(folder, client.name)
  await mkdir(join(home, 'tmp'), { recursive: true })
  const setup = await client.setUp?.(home)
  const env = {
    PATH: [...new Set([...paths, '/usr/sbin', '/usr/bin', '/sbin', '/bin'])].join(delimiter),
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    ...setup?.env,
  }
  try {
    for (const [name, runCase] of Object.entries(client.cases)) {
      const cwd = join(home, name.replaceAll(/\W+/g, '-'))
      await mkdir(cwd)
      const run: Run = (...command) => runCommand(wordsOf(...command), { cwd, env })
      const runWithInput = (input: string, ...command: string[]) => runCommand(command, { cwd, env, input })
      await report.try(client.name, name, () => runCase({ registry, folder: cwd, run, runWithInput }))
    }
  } finally {
    await setup?.tearDown?.()
  }
}
