import { build } from './build.ts'
import { runInForeground } from './lib/foreground.ts'

/** `start [arguments of cay serve]`: builds and serves. */
export async function run(args: string[]): Promise<void> {
  process.exitCode = await runInForeground([await build(), 'serve', ...args])
}
