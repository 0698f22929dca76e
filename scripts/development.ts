import { readdirSync } from 'node:fs'
import { cp, mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { fixtureContent } from '../test/support/fixture-content.ts'
import { build } from './build.ts'
import { runCommand } from './lib/command.ts'
import { runInForeground } from './lib/foreground.ts'
import { formatDocument, OPENAPI_COPY } from './lib/openapi-copy.ts'
import type { Registry } from './lib/registry.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

const root = join(import.meta.dir, '..')
const drizzleKit = [process.execPath, join(root, 'node_modules', 'drizzle-kit', 'bin.cjs'), 'generate']

/** More processes than that make the tests wait for one another's disk. */
const PROCESSES_MAX = 4

/** No test measures time: this only ends one that hangs, on a slow and busy machine, too. */
const TIMEOUT_MILLISECONDS = 30_000

/** The checks that need no running server, by the name that reports use. */
const checks = {
  types: ['check', '--no-script'],
  'types of the page': ['check', '--no-script', '-p', 'src/page'],
  style: ['node_modules/@biomejs/biome/bin/biome', 'check', '--error-on-warnings'],
  'dead code': ['node_modules/knip/bin/knip.js'],
  tidy: ['test', 'test/tidy.test.ts'],
  migrations: ['scripts/main.ts', 'migrations', '--check'],
}

/** `start [arguments of cay serve]`: builds and serves. */
export async function start(args: string[]): Promise<void> {
  process.exitCode = await runInForeground([await build(), 'serve', ...args])
}

/**
 * `test [arguments of bun test]`: builds the executable, which many tests use, and runs the tests. Files that they leave in
 * the system's temporary folder fail the run, and are removed.
 */
export async function test(args: string[]): Promise<void> {
  await build()
  process.chdir(root)
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

/** `check [--fix]`: checks types, lint, format, dead code and the project's own rules. `--fix` formats first. */
export async function check(args: string[]): Promise<void> {
  process.chdir(root)
  if (args.includes('--fix')) checks.style.push('--write')
  const failed: string[] = []
  for (const [name, command] of Object.entries(checks)) {
    if ((await runInForeground([process.execPath, ...command])) !== 0) failed.push(name)
  }
  if (failed.length === 0) return
  console.error(`check failed: ${failed.join(', ')}`)
  process.exitCode = 1
}

/**
 * `migrations [name]`: writes drizzle/NNNN_name.sql for the changes of the schema.
 * `migrations --check`: fails if a migration is missing.
 */
export async function migrations(args: string[]): Promise<void> {
  process.chdir(root)
  if (args.includes('--check')) return await checkMigrations()
  const [name] = args
  const config = ['--config', 'drizzle/config.ts', ...(name ? ['--name', name] : [])]
  const code = await runInForeground([...drizzleKit, ...config])
  if (code !== 0) throw new Error(`drizzle-kit failed with exit code ${code}`)
}

async function checkMigrations(): Promise<void> {
  await using temporary = await temporaryFolder('migrations')
  await cp(join(root, 'drizzle'), temporary.path, { recursive: true })
  const options = ['--dialect', 'sqlite', '--schema', './src/database/*schema.ts']
  const output = await runCommand([...drizzleKit, ...options, '--out', relative(root, temporary.path)])
  if (!output.includes('No schema changes')) {
    throw new Error(`src/database/schema.ts has changed: run bun scripts/main.ts migrations NAME\n${output}`)
  }
}

/** `openapi`: writes the OpenAPI document of the executable to docs/openapi.json. */
export async function openapi(): Promise<void> {
  await using server = await startServer()
  await Bun.write(OPENAPI_COPY, await formatDocument(server.address))
  console.log(OPENAPI_COPY)
}

/**
 * `fixture <number>`: creates test/fixtures/data-<number> with the executable: a data folder of the schema with this many
 * migrations. Run it once for a new migration; later versions must be able to open the folder.
 */
export async function fixture([number = '']: string[]): Promise<void> {
  if (!/^\d{4}$/.test(number)) throw new Error('usage: bun scripts/main.ts fixture 0001')
  await using folder = await temporaryFolder('fixture')
  const server = await startServer({ data: folder.path })
  const upload = await fill(server.registry)
  await server.stop()
  const target = join(root, 'test', 'fixtures', `data-${number}`)
  await rm(target, { recursive: true, force: true })
  await mkdir(target)
  for (const name of ['cay.db', 'installation', 'blobs', 'uploads']) {
    await cp(join(folder.path, name), join(target, name), { recursive: true })
  }
  await removeEmptyFolders(target)
  await Bun.write(join(target, 'fixture.json'), `${JSON.stringify({ upload }, undefined, 2)}\n`)
  console.log(target)
}

/** Pushes all content, starts an upload, and returns its path. */
async function fill(registry: Registry): Promise<string> {
  const { blobs, manifests, deleted, upload } = fixtureContent()
  for (const { repository, digest, bytes } of blobs) await registry.postBlob(repository, bytes, digest)
  for (const { repository, reference, type, bytes } of manifests)
    await registry.pushManifest(repository, reference, bytes, type)
  for (const path of deleted) await registry.expect([202], 'DELETE', path)
  const location = await registry.startUpload(upload.repository)
  await registry.append(location, upload.bytes.subarray(0, upload.received))
  return location
}

/** Removes empty folders: git does not store them, and the server creates those that it needs. */
async function removeEmptyFolders(path: string): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeEmptyFolders(join(path, entry.name))
  }
  if (readdirSync(path).length === 0) await rmdir(path)
}
