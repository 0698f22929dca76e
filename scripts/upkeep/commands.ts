import { join } from 'node:path'
import { type Ended, runToEnd } from '../lib/command.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'

/** A killed command runs at most this long before. */
const killMillisecondsMax = 120

/** The errors of a disk that fails, and one that is full. */
const diskErrors = ['EIO', 'ENOSPC']

/** Which of its calls fail, one run each. */
const failingCalls = [1, 3, 7]

/** Runs a command and kills it after a random time. */
export async function killed(command: string[]): Promise<Ended> {
  return await runToEnd(command, { secondsMax: (1 + Math.random() * killMillisecondsMax) / 1000 })
}

/**
 * Runs a command again and again, of which one system call fails each time.
 *
 * @param calls the names for strace, such as `linkat,link`
 * @param whenDone what must hold after a run that reports success
 */
export async function failCalls(
  calls: string,
  command: string[],
  whenDone: () => Promise<unknown>,
): Promise<void> {
  await using folder = await temporaryFolder('failing')
  const trace = ['-o', join(folder.path, 'trace'), '-e', `trace=${calls}`]
  for (const error of diskErrors) {
    for (const when of failingCalls) {
      const inject = `inject=${calls}:error=${error}:when=${when}`
      const { code, errors } = await runToEnd(['strace', '-f', '-q', ...trace, '-e', inject, ...command])
      if (code === 0) await whenDone()
      else if (!/^cay: ./m.test(errors)) throw new Error(`${inject}: no message: ${errors.slice(0, 2000)}`)
    }
  }
}
