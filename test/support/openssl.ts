import { runToEnd } from '../../scripts/lib/command.ts'

/** Runs openssl; returns its standard output and standard error. */
export async function openssl(args: string[], input = ''): Promise<{ code: number | null; output: string }> {
  const { code, output, errors } = await runToEnd(['openssl', ...args], { input })
  return { code, output: output + errors }
}
