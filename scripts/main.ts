/** Runs the project's own tools: `bun scripts/main.ts <command> [arguments]`. */

import { install } from './install.ts'
import { runInForeground } from './lib/foreground.ts'

/** The suites with real clients, longest first. */
const clients = [
  ...['login', 'models', 'docker', 'tools', 'cache', 'containers', 'differential'],
  ...['signatures', 'buildkit', 'artifacts', 'docker-v1'],
]

const commands: Record<string, () => Promise<{ run: (args: string[]) => Promise<void> }>> = {
  start: () => import('./start.ts'),
  test: () => import('./test.ts'),
  check: () => import('./check.ts'),
  build: () => import('./build.ts'),
  image: () => import('./image.ts'),
  installs: () => import('./installs/installs.ts'),
  walk: () => import('./walk/walk.ts'),
  release: () => import('./release.ts'),
  migrations: () => import('./migrations.ts'),
  openapi: () => import('./openapi.ts'),
  page: () => import('./page/page.ts'),
  fixture: () => import('./fixture.ts'),
  conformance: suites(['conformance']),
  clients: suites(clients),
  schemathesis: () => import('./schemathesis.ts'),
  bench: () => import('./bench/bench.ts'),
  opened: () => import('./opened.ts'),
  ci: () => import('./ci.ts'),
  toolchain: () => import('./toolchain/toolchain.ts'),
}

/** Returns a command that runs suites of test/clients beside each other, with more arguments of `bun test`. */
function suites(names: string[]) {
  return async () => ({
    async run(args: string[]) {
      const paths = names.map((name) => `./test/clients/${name}.suite.ts`)
      const options = ['--timeout=300000', '--parallel=2', '--only-failures']
      process.exitCode = await runInForeground([process.execPath, 'test', ...options, ...paths, ...args])
    },
  })
}

const [name = '', ...args] = process.argv.slice(2)
const command = commands[name]
if (!command) {
  console.error(`usage: bun scripts/main.ts <${Object.keys(commands).join(' | ')}> [arguments]`)
  process.exit(2)
}
if (await install()) process.exit(await runInForeground([process.execPath, ...process.argv.slice(1)]))
await (await command()).run(args)
