import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { compileReleased, executableNames, releaseFolder } from './packaging/executables.ts'

/**
 * `release [name...]`: builds the named executables, or all, in dist/release/, and writes SHA256SUMS.
 */
export async function run(args: string[]): Promise<void> {
  if (args.length === 0) await rm(releaseFolder, { recursive: true, force: true })
  for (const path of await compileReleased(args.length > 0 ? args : executableNames)) console.log(path)
  await writeSums()
}

/** Formats checksums for `sha256sum --check`. */
async function writeSums(): Promise<void> {
  const names = (await readdir(releaseFolder)).filter((name) => name.startsWith('cay-')).sort()
  const lines = names.map(async (name) => `${await hashFile(join(releaseFolder, name))}  ${name}\n`)
  await Bun.write(join(releaseFolder, 'SHA256SUMS'), (await Promise.all(lines)).join(''))
}

async function hashFile(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}
