import { build } from '../../scripts/build.ts'

export interface Ended {
  code: number
  output: string
  errors: string
}

/** Runs the executable with only the given environment; `input` is its standard input. */
export async function runCay(
  args: string[],
  env: Record<string, string> = {},
  input?: string,
): Promise<Ended> {
  const child = Bun.spawn([process.env.CAY_EXECUTABLE ?? (await build()), ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...env },
    stdin: input === undefined ? 'ignore' : new Blob([input]),
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 20_000,
    killSignal: 'SIGKILL',
  })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { code, output, errors }
}
