import { basename, join } from 'node:path'
import { bundlePage, packAssets } from '../../src/app/page.ts'

const root = join(import.meta.dir, '..', '..')
const main = 'src/main.ts'

/** The shell of the web page, which names everything else of it. */
export const shell = join(root, 'src', 'page', 'shell.html')

/** The only way to name a Worker that works from source and in the executable, which has all files in one folder. */
export const worker = /new Worker\(new URL\('\.\/([a-z0-9-]+\.ts)', import\.meta\.url\)/g

/** Returns how the source is bundled, for the executable and to see which packages are in it. */
export async function bundle(plugins: Bun.BunPlugin[] = []) {
  return {
    entrypoints: [main, ...(await findWorkers())].map((entry) => join(root, entry)),
    // Names stay: Elysia knows an error of decoding by the name of its class, and passes over any other one.
    minify: { whitespace: true, syntax: true, identifiers: false },
    format: 'esm',
    target: 'bun',
    splitting: true,
    naming: { entry: '[name].[ext]' },
    define: { CAY_COMMIT: JSON.stringify(commit()) },
    plugins: [compressed, await pageAssets(), ...plugins],
  } satisfies Partial<Bun.BuildConfig>
}

/** Embeds the script of the API's page compressed, a quarter of its size; it is served in this form. */
const compressed: Bun.BunPlugin = {
  name: 'compressed',
  setup(builder) {
    builder.onLoad(
      { filter: /[\\/]@scalar[\\/]api-reference[\\/]dist[\\/]browser[\\/]standalone\.js$/ },
      async ({ path }) => ({
        contents: Bun.gzipSync(await Bun.file(path).bytes(), { level: 9 }),
        loader: 'file',
      }),
    )
  },
}

/** Embeds the page's assets, bundled and compressed, in place of its shell. */
async function pageAssets(): Promise<Bun.BunPlugin> {
  const contents = packAssets(await bundlePage(shell))
  return {
    name: 'page',
    setup(builder) {
      builder.onLoad({ filter: /[\\/]src[\\/]page[\\/]shell\.html$/ }, () => ({ contents, loader: 'file' }))
    },
  }
}

/** Returns the files that run as Workers. They are separate entries, named by their base name, which must be unique. */
async function findWorkers(): Promise<string[]> {
  const found = new Set<string>()
  for await (const path of new Bun.Glob('src/**/*.ts').scan(root)) {
    const source = await Bun.file(join(root, path)).text()
    for (const [, name = ''] of source.matchAll(worker)) found.add(join(path, '..', name))
  }
  const names = [main, ...found].map((path) => basename(path))
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice) throw new Error(`two entries of the executable have the name ${twice}: rename one`)
  return [...found].sort()
}

/** Returns the commit, abbreviated, with `-dirty` if files differ from it; `unknown` outside a clone. */
export function commit(): string {
  const git = ['git', '--no-optional-locks', 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']
  try {
    const found = Bun.spawnSync(git, { cwd: root, stderr: 'ignore' })
    return found.success ? found.stdout.toString().trim() : 'unknown'
  } catch {
    return 'unknown'
  }
}
