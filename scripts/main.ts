/** Runs the project's own tools: `bun scripts/main.ts <command> [arguments]`. */

import { install } from './install.ts'
import { runInForeground } from './lib/foreground.ts'

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
  conformance: () => import('./conformance.ts'),
  clients: () => import('./clients/clients.ts'),
  schemathesis: () => import('./schemathesis.ts'),
  'tls-clients': () => import('./tls-clients.ts'),
  'docker-v1': () => import('./docker-v1/docker-v1.ts'),
  differential: () => import('./differential/differential.ts'),
  bench: () => import('./bench/bench.ts'),
  ci: () => import('./ci.ts'),
  toolchain: () => import('./toolchain/toolchain.ts'),
}

const [name = '', ...args] = process.argv.slice(2)
const command = commands[name]
if (!command) {
  console.error(`usage: bun scripts/main.ts <${Object.keys(commands).join(' | ')}> [arguments]`)
  process.exit(2)
}
if (await install()) process.exit(await runInForeground([process.execPath, ...process.argv.slice(1)]))
await (await command()).run(args)
