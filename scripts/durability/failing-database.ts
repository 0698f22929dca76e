import { existsSync } from 'node:fs'
import { cp, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { throwFaults } from '../lib/cases.ts'
import { sha256 } from '../lib/image.ts'
import { imageManifest, type Registry, randomBlob } from '../lib/registry.ts'
import { type Server, startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { checkDatabase } from '../soak/data-folder.ts'
import { afflict, wrapInStrace } from './strace.ts'

const repository = 'durability/database'
/** Manifests that are large enough to checkpoint the database's log after a few of them. */
const noteBytes = 2 * 1024 * 1024
const manifestsMax = 64
const fixture = join(import.meta.dir, '../../test/fixtures/data-0002')

/**
 * Makes syncs of the database fail: the process exits, and everything that it acknowledged exists after the next start.
 * Then interrupts a migration at each step of its copy. Returns a line for each failure.
 */
export async function checkFailingDatabase(): Promise<string[]> {
  return [
    await failSync("the log's sync", 'cay.db-wal'),
    await failSync("a checkpoint's sync", 'cay.db'),
    await interruptCopy('the kill of a migration before its copy has its name', 'rename:signal=SIGKILL', /./),
    await interruptCopy(
      'no space for the copy before a migration',
      'pwrite64:error=ENOSPC',
      /cannot copy the database .*: .*disk is full.*takes up to \d+ MiB: free that much/,
    ),
  ]
}

async function failSync(what: string, name: string): Promise<string> {
  await using folder = await temporaryFolder('failing')
  const data = join(folder.path, 'data')
  let acknowledged: string[] = []
  {
    await using server = await startServer({ data })
    acknowledged = await pushUntilDeath(server, join(data, name))
    const code = await server.exited
    if (code !== 1 || !server.log().includes('the disk of the database failed'))
      throw new Error(`${what} failed: exit code ${code}\n${server.log()}`)
  }
  await using server = await startServer({ data })
  for (const path of acknowledged) await server.registry.get(path)
  await push(server.registry)
  throwFaults(checkDatabase(data))
  return `${what} fails: the process ends, and ${acknowledged.length} acknowledged manifests are there again`
}

/** Pushes while syncs of a file fail, and returns the paths of what was acknowledged. */
async function pushUntilDeath(server: Server, path: string): Promise<string[]> {
  const acknowledged = [await push(server.registry)]
  await using _ = await afflict(server, 'fsync,fdatasync:error=EIO', [path])
  while (acknowledged.length < manifestsMax) {
    try {
      acknowledged.push(await push(server.registry))
    } catch {
      return acknowledged
    }
  }
  throw new Error(`${manifestsMax} manifests were acknowledged although syncs of ${path} fail`)
}

/** Pushes a manifest by its digest, and returns its path. */
async function push(registry: Registry): Promise<string> {
  const { bytes, ...config } = randomBlob(64)
  await registry.pushBlob(repository, config.digest, bytes)
  const manifest = imageManifest(config, [], sha256(bytes).repeat(noteBytes / 64))
  await registry.pushManifest(repository, sha256(manifest), manifest)
  return `/v2/${repository}/manifests/${sha256(manifest)}`
}

/** A start fails in the middle of the copy before a migration. The next start copies and migrates. */
async function interruptCopy(what: string, injection: string, said: RegExp): Promise<string> {
  await using folder = await temporaryFolder('migration')
  const data = join(folder.path, 'data')
  await cp(fixture, data, { recursive: true })
  const copy = join(data, 'cay.db.before-2')
  const calls = injection.slice(0, injection.indexOf(':'))
  const paths = ['-P', `${copy}.new`]
  const options = ['-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${injection}`, ...paths]
  const executable = await wrapInStrace(folder.path, options)
  const failure = await startServer({ data, executable }).then(
    () => 'it started',
    (error: Error) => error.message,
  )
  if (!said.test(failure) || existsSync(copy)) throw new Error(`${what}: ${failure}`)
  await using _ = await startServer({ data })
  const copies = (await readdir(data)).filter((name) => name.includes('.before-'))
  if (copies.join() !== 'cay.db.before-2') throw new Error(`${what}: ${copies.join()}`)
  throwFaults(checkDatabase(data))
  return `${what}: no partial copy, and the next start makes one and migrates`
}
