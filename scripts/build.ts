import { rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { bundle, commit } from './lib/bundle.ts'
import { licenseText } from './packaging/components.ts'

const root = join(import.meta.dir, '..')
const executable = join(root, 'dist', process.platform === 'win32' ? 'cay.exe' : 'cay')
const stamp = join(root, 'dist', 'cay.stamp')

/** The inputs of the executable, besides this version of Bun and the commit. */
const inputs = [
  'src/**/*',
  'drizzle/**/*',
  'scripts/{build,lib/bundle,packaging/components}.ts',
  '{LICENSE,package.json,bun.lock,tsconfig.json}',
].map((pattern) => new Bun.Glob(pattern))

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
      ...(await bundle([await licenses()])),
      bytecode: true,
      // The maps are inside too, so that an error names the line of the source.
      sourcemap: 'linked',
      compile: { ...(target && { target }), outfile: made, autoloadDotenv: false, autoloadBunfig: false },
    })
    await rename(made, path)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Embeds the licences of everything in the executable, compressed, in place of cay's own. */
async function licenses(): Promise<Bun.BunPlugin> {
  const contents = Bun.gzipSync(await licenseText(), { level: 9 })
  return {
    name: 'licenses',
    setup(builder) {
      builder.onLoad({ filter: /[\\/]LICENSE$/ }, () => ({ contents, loader: 'file' }))
    },
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
