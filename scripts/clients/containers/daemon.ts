import { readLines } from '../../lib/command.ts'
import { stopProcess } from '../../lib/stop-process.ts'

const startSecondsMax = 60

/**
 * Starts a daemon of a client, and waits for the line on its standard error that says it is ready. Returns a function
 * that stops it.
 * @throws Error with its output if it exits or prints nothing.
 */
export async function startDaemon(
  command: string[],
  home: string,
  ready: string,
  env: Record<string, string> = {},
): Promise<() => Promise<void>> {
  const child = Bun.spawn(command, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, ...env },
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const log: string[] = []
  const started = Promise.withResolvers<void>()
  const drained = readLines(child.stderr, (line) => {
    log.push(line)
    if (line.includes(ready)) started.resolve()
  })
  const fail = () => started.reject(new Error(`${command[0]} did not start\n${log.join('\n')}`))
  const deadline = setTimeout(fail, startSecondsMax * 1000)
  drained.then(fail)
  const stop = () => stopProcess(child)
  await started.promise.catch(async (error: unknown) => {
    await stop()
    throw error
  })
  clearTimeout(deadline)
  return stop
}
