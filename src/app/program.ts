import { CommandError, EXIT } from '../cli/failure.ts'
import { sanitize } from '../cli/output.ts'
import { newProgram } from '../cli/program.ts'
import { ConfigError } from '../config/values.ts'
import { addServeCommand } from './serve-command.ts'

/** Runs the command that the arguments name, and returns the exit code. */
export async function runProgram(argv: string[]): Promise<number> {
  let code = 0
  const exit = (given: number) => {
    code = given
  }
  try {
    await (argv[2] === 'serve' ? runServe(argv, exit) : runOther(argv, exit))
  } catch (error) {
    return failed(error)
  }
  return code
}

/** Runs `cay serve`. A server runs for months, so it does not load the other commands. */
async function runServe(argv: string[], exit: (code: number) => void): Promise<void> {
  const program = newProgram()
  addServeCommand(program, exit)
  await program.parseAsync(argv)
}

async function runOther(argv: string[], exit: (code: number) => void): Promise<void> {
  const { runCommand } = await import('./commands.ts')
  await runCommand(argv, exit)
}

/** Prints a failure in one line, unless the parser of the command line has already done so. Returns the exit code. */
function failed(error: unknown): number {
  if (error instanceof Error && 'exitCode' in error) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  // The reader of the output, such as head, has closed the pipe.
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') return EXIT.done
  process.stderr.write(`cay: ${sanitize((error as Error).message)}\n`)
  if (error instanceof CommandError) return error.exit
  return error instanceof ConfigError ? EXIT.usage : EXIT.failed
}
