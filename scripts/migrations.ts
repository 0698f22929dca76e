import { cp } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { readMigrationFiles } from 'drizzle-orm/migrator'
import { runCommand } from './command.ts'
import { runInForeground } from './foreground.ts'
import { temporaryFolder } from './temporary-folder.ts'

const root = join(import.meta.dir, '..')
const folder = join(root, 'drizzle')
const generated = join(root, 'src', 'metadata', 'migrations.ts')
const drizzleKit = [process.execPath, join(root, 'node_modules', 'drizzle-kit', 'bin.cjs'), 'generate']

/**
 * `migrations [name]`: writes drizzle/NNNN_name.sql for what has changed in the schema, and the module that holds
 * all of them. `migrations --check`: fails when that has not been done.
 */
export async function run(args: string[]): Promise<void> {
  process.chdir(root)
  if (args.includes('--check')) return check()
  const [name] = args
  const config = ['--config', 'drizzle/config.ts', ...(name ? ['--name', name] : [])]
  const code = await runInForeground([...drizzleKit, ...config])
  if (code !== 0) throw new Error(`drizzle-kit ended with ${code}`)
  await Bun.write(generated, renderMigrations())
}

/** The text of src/metadata/migrations.ts for the migrations in drizzle/. */
export function renderMigrations(): string {
  const migrations = readMigrationFiles({ migrationsFolder: folder }).map((migration) =>
    [
      '  {',
      `    hash: '${migration.hash}',`,
      `    folderMillis: ${migration.folderMillis},`,
      `    bps: ${migration.bps},`,
      '    sql: [',
      ...migration.sql.map((statement) => `      ${JSON.stringify(statement.trim())},`),
      '    ],',
      '  },',
    ].join('\n'),
  )
  return `// Made by \`bun run migrations\` from drizzle/*.sql.
import type { MigrationMeta } from 'drizzle-orm/migrator'

/** Every migration of the database, oldest first, for the dialect's migrate. */
export const migrations: MigrationMeta[] = [
${migrations.join('\n')}
]
`
}

async function check(): Promise<void> {
  const found = Bun.file(generated)
  if (!(await found.exists()) || (await found.text()) !== renderMigrations()) {
    throw new Error('src/metadata/migrations.ts is not what drizzle/*.sql says: `bun run migrations`')
  }
  await using temporary = await temporaryFolder('migrations')
  await cp(folder, temporary.path, { recursive: true })
  const options = ['--dialect', 'sqlite', '--schema', './src/metadata/*schema.ts']
  const output = await runCommand([...drizzleKit, ...options, '--out', relative(root, temporary.path)])
  if (!output.includes('No schema changes')) {
    throw new Error(`src/metadata/schema.ts has changed without \`bun run migrations NAME\`:\n${output}`)
  }
}
