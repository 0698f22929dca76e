/** Runs openssl; returns its standard output and standard error. */
export async function openssl(args: string[], input = ''): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(['openssl', ...args], { stdin: Buffer.from(input), stdout: 'pipe', stderr: 'pipe' })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { code, output: output + errors }
}
