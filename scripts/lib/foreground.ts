/**
 * Runs a command in this terminal, with `env` added to the environment, and returns its exit code. Forwards SIGTERM. The
 * terminal sends SIGINT to the command itself, so this process exits after the command.
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
