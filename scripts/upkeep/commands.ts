import { join } from 'node:path'
import { temporaryFolder } from '../lib/temporary-folder.ts'

/** A killed command runs at most this long before. */
const killMillisecondsMax = 120

/** The errors of a disk that fails, and one that is full. */
const diskErrors = ['EIO', 'ENOSPC']

/** Which of its calls fail, one run each. */
const failingCalls = [1, 3, 7]

/** What a command did. */
export interface Ended {
  code: number | null
  output: string
}

/** Runs a command and kills it after a random time. */
export async function killed(command: string[]): Promise<Ended> {
  return await ended(command, Math.random() * killMillisecondsMax)
}

/** Runs a command to its end, or for so long. */
export async function ended(command: string[], milliseconds?: number): Promise<Ended> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const timer = milliseconds === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), milliseconds)
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  clearTimeout(timer)
  return { code: child.exitCode, output: output + errors }
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
      const { code, output } = await ended(['strace', '-f', '-q', ...trace, '-e', inject, ...command])
      if (code === 0) await whenDone()
      else if (!/^cay: ./m.test(output)) throw new Error(`${inject}: no message: ${output.slice(0, 2000)}`)
    }
  }
}
