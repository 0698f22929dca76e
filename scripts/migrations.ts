import { cp } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { runCommand } from './lib/command.ts'
import { runInForeground } from './lib/foreground.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

const root = join(import.meta.dir, '..')
const folder = join(root, 'drizzle')
const drizzleKit = [process.execPath, join(root, 'node_modules', 'drizzle-kit', 'bin.cjs'), 'generate']

/**
 * `migrations [name]`: writes drizzle/NNNN_name.sql for the changes of the schema.
 * `migrations --check`: fails if a migration is missing.
 */
export async function run(args: string[]): Promise<void> {
  process.chdir(root)
  if (args.includes('--check')) return check()
  const [name] = args
  const config = ['--config', 'drizzle/config.ts', ...(name ? ['--name', name] : [])]
  const code = await runInForeground([...drizzleKit, ...config])
  if (code !== 0) throw new Error(`drizzle-kit failed with exit code ${code}`)
}

async function check(): Promise<void> {
  await using temporary = await temporaryFolder('migrations')
  await cp(folder, temporary.path, { recursive: true })
  const options = ['--dialect', 'sqlite', '--schema', './src/database/*schema.ts']
  const output = await runCommand([...drizzleKit, ...options, '--out', relative(root, temporary.path)])
  if (!output.includes('No schema changes')) {
    throw new Error(`src/database/schema.ts has changed: run bun scripts/main.ts migrations NAME\n${output}`)
  }
}
