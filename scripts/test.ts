import { join } from 'node:path'
import { build } from './build.ts'
import { runInForeground } from './foreground.ts'

/** `test [arguments of bun test]`: builds, since many tests run against the executable, and runs the tests. */
export async function run(args: string[]): Promise<void> {
  await build()
  process.chdir(join(import.meta.dir, '..'))
  process.exitCode = await runInForeground([process.execPath, 'test', ...args])
}
