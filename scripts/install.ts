import { join } from 'node:path'
import { runInForeground } from './lib/foreground.ts'

const root = join(import.meta.dir, '..')
const stamp = join(root, 'node_modules', '.installed')

/**
 * Installs the packages of bun.lock, if they are missing. Imports nothing that must be installed first.
 * @returns whether it installed something; then only a new process finds the packages.
 * @throws Error if a package cannot be installed.
 */
export async function install(): Promise<boolean> {
  const wanted = new Bun.CryptoHasher('sha256')
    .update(await Bun.file(join(root, 'bun.lock')).bytes())
    .digest('hex')
  const installed = Bun.file(stamp)
  if ((await installed.exists()) && (await installed.text()) === wanted) return false
  const code = await runInForeground([process.execPath, 'install', '--frozen-lockfile', `--cwd=${root}`])
  if (code !== 0) throw new Error(`bun install failed with exit code ${code}`)
  await Bun.write(stamp, wanted)
  return true
}
