/**
 * Runs the project's own tools: `bun scripts/main.ts <command> [arguments]`. Imports nothing at first that must be
 * installed.
 */

import { join } from 'node:path'
import { runInForeground } from './lib/foreground.ts'

type Command = (args: string[]) => Promise<void>

const commands: Record<string, () => Promise<Command>> = {
  start: async () => (await import('./development.ts')).start,
  test: async () => (await import('./development.ts')).test,
  check: async () => (await import('./development.ts')).check,
  migrations: async () => (await import('./development.ts')).migrations,
  openapi: async () => (await import('./development.ts')).openapi,
  fixture: async () => (await import('./development.ts')).fixture,
  build: async () => (await import('./build.ts')).run,
  image: async () => (await import('./packaging/container-image.ts')).image,
  release: async () => (await import('./packaging/release.ts')).release,
  bench: async () => (await import('./bench/bench.ts')).run,
  screenshots: async () => (await import('../test/browser/chromium.ts')).makeScreenshots,
  opened: async () => (await import('./opened.ts')).run,
  toolchain: async () => (await import('./toolchain/toolchain.ts')).run,
  ci: async () => (await import('./ci.ts')).ci,
  suite: async () => (await import('./ci.ts')).suite,
}

const [name = '', ...args] = process.argv.slice(2)
const command = commands[name]
if (name === '') {
  console.error(`usage: bun scripts/main.ts <${Object.keys(commands).join(' | ')} | SUITE> [arguments]`)
  process.exit(2)
}
if (await install()) process.exit(await runInForeground([process.execPath, ...process.argv.slice(1)]))
// Any other name is that of a suite.
if (command) await (await command())(args)
else await (await import('./ci.ts')).suite([name, ...args])

/**
 * Installs the packages of bun.lock, if they are missing.
 * @returns whether it installed something; then only a new process finds the packages.
 * @throws Error if a package cannot be installed.
 */
async function install(): Promise<boolean> {
  const root = join(import.meta.dir, '..')
  const lock = await Bun.file(join(root, 'bun.lock')).bytes()
  const wanted = new Bun.CryptoHasher('sha256').update(lock).digest('hex')
  const installed = Bun.file(join(root, 'node_modules', '.installed'))
  if ((await installed.exists()) && (await installed.text()) === wanted) return false
  const code = await runInForeground([process.execPath, 'install', '--frozen-lockfile', `--cwd=${root}`])
  if (code !== 0) throw new Error(`bun install failed with exit code ${code}`)
  await Bun.write(installed, wanted)
  return true
}
