/** The project's own tools, one program: `bun scripts/main.ts <command> [arguments]`. */
const commands: Record<string, () => Promise<{ run: (args: string[]) => Promise<void> }>> = {
  build: () => import('./build.ts'),
  release: () => import('./release.ts'),
  migrations: () => import('./migrations.ts'),
  toolchain: () => import('./toolchain.ts'),
  conformance: () => import('./conformance.ts'),
  clients: () => import('./clients.ts'),
  ci: () => import('./ci.ts'),
  bench: () => import('./bench.ts'),
  soak: () => import('./soak.ts'),
}

const [name = '', ...args] = process.argv.slice(2)
const command = commands[name]
if (!command) {
  console.error(`usage: bun scripts/main.ts <${Object.keys(commands).join(' | ')}> [arguments]`)
  process.exit(2)
}
await (await command()).run(args)
