import { deepEqual } from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { runCommand } from './command.ts'

/** What `cay trust` may change on this host. */
const PLACES = [
  '/etc/ssl/certs',
  '/usr/local/share/ca-certificates',
  '/etc/docker',
  '/etc/containers',
  '/etc/containerd',
]

/** Java's store is written anew each time, with the time in it: of this file only the names count. */
const JAVA_STORE = '/etc/ssl/certs/java/cacerts'

export interface TrustOptions {
  /** The data folder of the server whose authority this host is to trust. */
  data: string
  /** The registry as its clients name it, `host:port`. */
  registry: string
  /** Does a step, which it may report; without it, a step that fails is thrown. */
  step?(name: string, work: () => Promise<unknown>): Promise<unknown>
}

/**
 * Works while this host trusts a server's authority, by `cay trust --install`, on a Debian host, as root. Afterwards
 * `--uninstall` must leave the host as it was.
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

/** Each file in those places, by its path, and the hash of what is in it. */
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
