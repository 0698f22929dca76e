import { deepEqual } from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { runCommand } from './command.ts'

/** The places that `cay trust` can change on this host. */
const PLACES = [
  '/etc/ssl/certs',
  '/usr/local/share/ca-certificates',
  '/etc/docker',
  '/etc/containers',
  '/etc/containerd',
]

/** Java's store contains the time of each update, so only the names in it are compared. */
const JAVA_STORE = '/etc/ssl/certs/java/cacerts'

export interface TrustOptions {
  /** The data folder of the server whose authority this host trusts. */
  data: string
  /** The address that clients use, `host:port`. */
  registry: string
  /** Runs and reports a step; by default a failed step throws. */
  step?(name: string, work: () => Promise<unknown>): Promise<unknown>
}

/**
 * Runs work while this Debian host trusts a server's authority, by `cay trust --install` as root. Then `--uninstall`
 * must leave the host as it was.
 */
export async function whileTrusting<T>(options: TrustOptions, work: () => Promise<T>): Promise<T> {
  const executable = process.env.CAY_EXECUTABLE ?? (await build())
  const { data, registry, step = (_, work) => work() } = options
  const trust = (...args: string[]) =>
    runCommand([executable, 'trust', '--data', data, '--registry', registry, ...args])
  const before = await snapshot()
  try {
    await step('--install', () => trust('--install'))
    return await work()
  } finally {
    await step('--uninstall, which leaves the host as it was', async () => {
      await trust('--uninstall')
      deepEqual(await snapshot(), before)
    })
  }
}

/** Returns the hash of each file in those places, by path. */
async function snapshot(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const place of PLACES) {
    const entries = await readdir(place, { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isDirectory()) found[path] = 'folder'
      else if (path === JAVA_STORE) found[path] = String((await readFile(path)).includes('cay-'))
      else found[path] = Bun.hash(await readFile(path).catch(() => '')).toString(16)
    }
  }
  return found
}
