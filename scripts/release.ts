import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { compile } from './build.ts'
import { smoke } from './smoke.ts'

const folder = join(import.meta.dir, '..', 'dist', 'release')

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

/**
 * `release [name...]`: builds the named executables, or all, in dist/release/, and writes SHA256SUMS.
 * `release smoke`: builds the one for arm64 and tests it under qemu.
 */
export async function run(args: string[]): Promise<void> {
  if (args[0] === 'smoke') {
    const [path = ''] = await release(['cay-linux-arm64'])
    return smoke(path)
  }
  await release(args)
  await writeSums()
}

async function release(names: string[]): Promise<string[]> {
  const chosen = Object.entries(targets).filter(([name]) => names.length === 0 || names.includes(name))
  const unknown = names.filter((name) => !(name in targets))
  if (unknown.length > 0) throw new Error(`unknown targets: ${unknown.join(', ')}`)
  if (names.length === 0) await rm(folder, { recursive: true, force: true })
  const paths: string[] = []
  for (const [name, target] of chosen) {
    const path = join(folder, name)
    await compile(path, target)
    console.log(path)
    paths.push(path)
  }
  return paths
}

/** Formats checksums for `sha256sum --check`. */
async function writeSums(): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith('cay-')).sort()
  const lines = names.map(async (name) => `${await hashFile(join(folder, name))}  ${name}\n`)
  await Bun.write(join(folder, 'SHA256SUMS'), (await Promise.all(lines)).join(''))
}

async function hashFile(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}
