import { join } from 'node:path'
import { compile } from '../build.ts'

/** A platform of the container image and of the packages. */
export interface Platform {
  /** The name in OCI images, and in Debian. */
  architecture: 'amd64' | 'arm64'
  /** The name in RPM packages. */
  machine: string
  /** The released executable. */
  executable: string
}

export const platforms: readonly Platform[] = [
  { architecture: 'amd64', machine: 'x86_64', executable: 'cay-linux-x64' },
  { architecture: 'arm64', machine: 'aarch64', executable: 'cay-linux-arm64' },
]

/** The folder of everything that is released. */
export const releaseFolder = join(import.meta.dir, '..', '..', 'dist', 'release')

/** The released executables: their names, and Bun's names of their platforms. */
const targets = {
  'cay-linux-x64': 'bun-linux-x64',
  'cay-linux-arm64': 'bun-linux-arm64',
  'cay-linux-x64-musl': 'bun-linux-x64-musl',
  'cay-linux-arm64-musl': 'bun-linux-arm64-musl',
  'cay-darwin-x64': 'bun-darwin-x64',
  'cay-darwin-arm64': 'bun-darwin-arm64',
  'cay-windows-x64.exe': 'bun-windows-x64',
} satisfies Record<string, Bun.Build.CompileTarget>

/** The names of the released executables. */
export const executableNames = Object.keys(targets)

/**
 * Builds the named executables in a folder, and returns their paths.
 * @throws Error if there is none of that name
 */
export async function compileReleased(names: readonly string[], folder = releaseFolder): Promise<string[]> {
  const unknown = names.filter((name) => !executableNames.includes(name))
  if (unknown.length > 0) throw new Error(`unknown targets: ${unknown.join(', ')}`)
  const paths: string[] = []
  for (const [name, target] of Object.entries(targets)) {
    if (!names.includes(name)) continue
    const path = join(folder, name)
    await compile(path, target)
    paths.push(path)
  }
  return paths
}

/** Returns when the source was committed, in seconds since 1970; `SOURCE_DATE_EPOCH` overrides it, and 0 is unknown. */
export function sourceSeconds(): number {
  const given = process.env.SOURCE_DATE_EPOCH
  if (given !== undefined) return Number(given)
  try {
    const log = ['git', 'log', '-1', '--format=%ct']
    return Number(
      Bun.spawnSync(log, { cwd: import.meta.dir, stderr: 'ignore' })
        .stdout.toString()
        .trim(),
    )
  } catch {
    return 0
  }
}
