import { mkdir } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { type Run, runCommand, wordsOf } from '../lib/command.ts'
import { bringTools, type ToolName } from '../toolchain.ts'

/** A real client of registries, and what it must be able to do. */
export interface Client {
  name: string
  tools: ToolName[]
  /** Prepares the client's home. What it returns is added to the environment of each command. */
  setUp?(home: string): Promise<{ env: Record<string, string>; tearDown?: () => Promise<void> }>
  cases: Record<string, (context: CaseContext) => Promise<void>>
}

/** What a case works with. */
export interface CaseContext {
  /** The registry, `host:port`, which speaks plain HTTP. */
  registry: string
  /** An empty folder, where commands run. */
  folder: string
  /**
   * Runs a command of the client to its end and returns its standard output.
   * @throws CommandError with all that it printed, when it fails.
   */
  run: Run
  /** The same with something on its standard input. */
  runWithInput(input: string, ...command: string[]): Promise<string>
}

/** The result of a case. */
export interface CaseResult {
  client: string
  case: string
  milliseconds: number
  error?: unknown
}

/** Runs a client's cases one after the other, in a home of its own below `folder`, and reports each when it is over. */
export async function runClient(
  client: Client,
  registry: string,
  folder: string,
  report: (result: CaseResult) => void,
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
      const start = performance.now()
      const error = await runCase({ registry, folder: cwd, run, runWithInput }).then(
        () => undefined,
        (cause: unknown) => ({ cause }),
      )
      const milliseconds = Math.round(performance.now() - start)
      report({ client: client.name, case: name, milliseconds, ...(error && { error: error.cause }) })
    }
  } finally {
    await setup?.tearDown?.()
  }
}

/** Prints a result for people: a line, and what went wrong. */
export function printResult({ client, case: name, milliseconds, error }: CaseResult): void {
  console.log(`${error === undefined ? 'ok' : 'FAIL'} ${client}: ${name} (${milliseconds} ms)`)
  if (error !== undefined)
    console.log(String(error instanceof Error ? error.message : error).replaceAll(/^/gm, '    '))
}
