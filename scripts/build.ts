import { rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'

const root = join(import.meta.dir, '..')
const executable = join(root, 'dist', process.platform === 'win32' ? 'cay.exe' : 'cay')
const stamp = join(root, 'dist', 'cay.stamp')
const main = 'src/main.ts'

/** The inputs of the executable, besides this version of Bun and the commit. */
const inputs = ['src/**/*', 'drizzle/**/*', 'scripts/build.ts', '{package.json,bun.lock,tsconfig.json}'].map(
  (pattern) => new Bun.Glob(pattern),
)

/** The only way to name a Worker that works from source and in the executable, which has all files in one folder. */
export const worker = /new Worker\(new URL\('\.\/([a-z0-9-]+\.ts)', import\.meta\.url\)/g

/** `build`: builds dist/cay for this machine, unless it is up to date. */
export async function run(): Promise<void> {
  console.log(await build())
}

/** Builds the executable for this machine, unless it is up to date, and returns its path. */
export async function build(): Promise<string> {
  const wanted = await hashInputs()
  const [made, exists] = await Promise.all([readStamp(), Bun.file(executable).exists()])
  if (!exists || made !== wanted) {
    await compile(executable)
    await Bun.write(stamp, wanted)
  }
  return executable
}

/**
 * Compiles cay into one executable at `path`, for another platform if `target` names one, for example `bun-linux-arm64-musl`.
 * @throws AggregateError with the errors in the source.
 */
export async function compile(path: string, target?: Bun.Build.CompileTarget): Promise<void> {
  const folder = `${path}.${process.pid}`
  const made = join(folder, basename(path))
  try {
    await Bun.build({
      entrypoints: [main, ...(await findWorkers())].map((entry) => join(root, entry)),
      // Names stay: Elysia knows an error of decoding by the name of its class, and passes over any other one.
      minify: { whitespace: true, syntax: true, identifiers: false },
      bytecode: true,
      format: 'esm',
      splitting: true,
      // The maps are inside too, so that an error names the line of the source.
      sourcemap: 'linked',
      naming: { entry: '[name].[ext]' },
      define: { CAY_COMMIT: JSON.stringify(commit()) },
      plugins: [compressed],
      compile: { ...(target && { target }), outfile: made, autoloadDotenv: false, autoloadBunfig: false },
    })
    await rename(made, path)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
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

/** Returns the commit, with `-dirty` if files differ from it; `unknown` outside a clone. */
function commit(): string {
  const git = ['git', '--no-optional-locks', 'describe', '--always', '--dirty', '--abbrev=12', '--exclude=*']
  try {
    const found = Bun.spawnSync(git, { cwd: root, stderr: 'ignore' })
    return found.success ? found.stdout.toString().trim() : 'unknown'
  } catch {
    return 'unknown'
  }
}

async function hashInputs(): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256').update(`${Bun.version} ${Bun.revision} ${commit()}`)
  const paths = await Promise.all(inputs.map((glob) => Array.fromAsync(glob.scan(root))))
  for (const path of paths.flat().sort()) {
    const bytes = await Bun.file(join(root, path)).bytes()
    hash.update(`\n${path} ${bytes.length}\n`).update(bytes)
  }
  return hash.digest('hex')
}

async function readStamp(): Promise<string | undefined> {
  const file = Bun.file(stamp)
  return (await file.exists()) ? file.text() : undefined
}
