import { readdirSync } from 'node:fs'
import { cp, mkdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fixtureContent } from '../test/support/fixture-content.ts'
import type { Registry } from './lib/registry.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

const fixtures = join(import.meta.dir, '../test/fixtures')

/**
 * `fixture <number>`: creates test/fixtures/data-<number> with the executable: a data folder of the schema with this many
 * migrations. Run it once for a new migration; later versions must be able to open the folder.
 */
export async function run([number = '']: string[]): Promise<void> {
  if (!/^\d{4}$/.test(number)) throw new Error('usage: bun scripts/main.ts fixture 0001')
  await using folder = await temporaryFolder('fixture')
  const server = await startServer({ data: folder.path })
  const upload = await fill(server.registry)
  await server.stop()
  const target = join(fixtures, `data-${number}`)
  await rm(target, { recursive: true, force: true })
  await mkdir(target)
  for (const name of ['cay.db', 'installation', 'blobs', 'uploads']) {
    await cp(join(folder.path, name), join(target, name), { recursive: true })
  }
  await removeEmptyFolders(target)
  await Bun.write(join(target, 'fixture.json'), `${JSON.stringify({ upload }, undefined, 2)}\n`)
  console.log(target)
}

/** Pushes all content, starts an upload, and returns its path. */
async function fill(registry: Registry): Promise<string> {
  const { blobs, manifests, deleted, upload } = fixtureContent()
  for (const { repository, digest, bytes } of blobs) await registry.postBlob(repository, bytes, digest)
  for (const { repository, reference, type, bytes } of manifests)
    await registry.pushManifest(repository, reference, bytes, type)
  for (const path of deleted) await registry.expect([202], 'DELETE', path)
  const location = await registry.startUpload(upload.repository)
  await registry.append(location, upload.bytes.subarray(0, upload.received))
  return location
}

/** Removes empty folders: git does not store them, and the server creates those that it needs. */
async function removeEmptyFolders(path: string): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeEmptyFolders(join(path, entry.name))
  }
  if (readdirSync(path).length === 0) await rmdir(path)
}
