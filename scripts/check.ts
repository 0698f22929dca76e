import { join } from 'node:path'
import { runInForeground } from './lib/foreground.ts'

/** The checks that need no running server, by the name that reports use. */
const checks = {
  types: ['check', '--no-script'],
  'types of the page': ['check', '--no-script', '-p', 'src/page'],
  style: ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings'],
  'dead code': ['node_modules/knip/bin/knip.js'],
  tidy: ['test', 'test/tidy.test.ts'],
  migrations: ['scripts/main.ts', 'migrations', '--check'],
}

/** `check [--fix]`: checks types, lint, format, dead code and the project's own rules. `--fix` formats first. */
export async function run(args: string[]): Promise<void> {
  process.chdir(join(import.meta.dir, '..'))
  if (args.includes('--fix')) checks.style.push('--write')
  const failed: string[] = []
  for (const [name, command] of Object.entries(checks)) {
    if ((await runInForeground([process.execPath, ...command])) !== 0) failed.push(name)
  }
  if (failed.length === 0) return
  console.error(`check failed: ${failed.join(', ')}`)
  process.exitCode = 1
}
