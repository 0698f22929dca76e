import { readdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { build } from './build.ts'
import { runInForeground } from './lib/foreground.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

/** More processes than that make the tests wait for one another's disk. */
const PROCESSES_MAX = 4

/** No test measures time: this only ends one that hangs, on a slow and busy machine, too. */
const TIMEOUT_MILLISECONDS = 30_000

/**
 * `test [arguments of bun test]`: builds the executable, which many tests use, and runs the tests. Files that they leave in
 * the system's temporary folder fail the run, and are removed.
 */
export async function run(args: string[]): Promise<void> {
  await build()
  process.chdir(join(import.meta.dir, '..'))
  await using temporary = await temporaryFolder('tests')
  const processes = Math.min(availableParallelism(), PROCESSES_MAX)
  const options = [`--parallel=${processes}`, `--timeout=${TIMEOUT_MILLISECONDS}`]
  const code = await runInForeground([process.execPath, 'test', ...options, ...args], {
    TMPDIR: temporary.path,
  })
  const left = await readdir(temporary.path)
  if (left.length > 0) console.error(`the tests have left behind: ${left.join(', ')}`)
  process.exitCode = code === 0 && left.length > 0 ? 1 : code
}
