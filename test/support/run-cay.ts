import { build } from '../../scripts/build.ts'
import { type Ended, runToEnd } from '../../scripts/lib/command.ts'

/** Runs the executable with only the given environment; `input` is its standard input. */
export async function runCay(
  args: string[],
  env: Record<string, string> = {},
  input?: string,
): Promise<Ended> {
  return await runToEnd([process.env.CAY_EXECUTABLE ?? (await build()), ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...env },
    ...(input !== undefined && { input }),
    secondsMax: 20,
  })
}
