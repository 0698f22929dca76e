/**
 * Runs a command in this terminal, with `env` besides the environment of this process, and returns its exit code.
 * SIGTERM is passed on; a terminal gives SIGINT to the command itself, so that both end when the command has.
 */
export async function runInForeground(command: string[], env: Record<string, string> = {}): Promise<number> {
  const child = Bun.spawn(command, {
    env: { ...process.env, ...env },
    stdio: ['inherit', 'inherit', 'inherit'],
  })
  const terminate = () => child.kill('SIGTERM')
  const wait = () => undefined
  process.on('SIGTERM', terminate)
  process.on('SIGINT', wait)
  try {
    return await child.exited
  } finally {
    process.off('SIGTERM', terminate)
    process.off('SIGINT', wait)
  }
}
