const commandSecondsMax = 300

export interface CommandOptions {
  cwd?: string
  /** Its standard input; empty by default. */
  input?: string
  /** Its whole environment; by default that of this process. */
  env?: Record<string, string | undefined>
  /** The longest run, in seconds; then it is killed, which is an error. */
  secondsMax?: number
}

/** How a command ended; without an exit code if it was killed. */
export interface Ended {
  code: number | null
  output: string
  errors: string
}

/** Runs a command to its end, however that is. */
export async function runToEnd(command: string[], options: CommandOptions = {}): Promise<Ended> {
  const child = Bun.spawn(command, {
    cwd: options.cwd ?? process.cwd(),
    env: options.env ?? process.env,
    stdin: options.input === undefined ? 'ignore' : Buffer.from(options.input),
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: Math.ceil((options.secondsMax ?? commandSecondsMax) * 1000),
    killSignal: 'SIGKILL',
  })
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { code: child.exitCode, output, errors }
}

/** A command that failed, with its output. */
class CommandError extends Error {
  override name = 'CommandError'
}

/**
 * Runs a command to its end and returns its standard output.
 * @throws CommandError with its output, if it does not exit with 0.
 */
export async function runCommand(command: string[], options: CommandOptions = {}): Promise<string> {
  const { code, output, errors } = await runToEnd(command, options)
  if (code === 0) return output
  const end = code === null ? 'was killed' : `ended with ${code}`
  throw new CommandError(`${command.join(' ')}\n${end}\n${output}${errors}`)
}

/** Calls `onLine` with each line of a stream as it arrives. */
export async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void) {
  let rest = ''
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  }
  if (rest) onLine(rest)
}
