import { join } from 'node:path'
import { compile } from '../build.ts'

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
 * Builds the named executables, and returns their paths.
 * @throws Error if there is none of that name
 */
export async function compileReleased(names: readonly string[]): Promise<string[]> {
  const unknown = names.filter((name) => !executableNames.includes(name))
  if (unknown.length > 0) throw new Error(`unknown targets: ${unknown.join(', ')}`)
  const paths: string[] = []
  for (const [name, target] of Object.entries(targets)) {
    if (!names.includes(name)) continue
    const path = join(releaseFolder, name)
    await compile(path, target)
    paths.push(path)
  }
  return paths
}
