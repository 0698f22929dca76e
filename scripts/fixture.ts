import { readdirSync } from 'node:fs'
import { cp, mkdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type FixtureContent, fixtureContent } from '../test/support/fixture-content.ts'
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
  const upload = await fill(`http://${server.address}`)
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
async function fill(url: string): Promise<string> {
  const found: FixtureContent = fixtureContent()
  const ask = async (method: string, path: string, status: number, init: RequestInit = {}) => {
    const response = await fetch(new URL(path, url), { method, ...init })
    if (response.status !== status)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return response
  }
  for (const { repository, digest, bytes } of found.blobs) {
    await ask('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, 201, { body: bytes })
  }
  for (const { repository, reference, type, bytes } of found.manifests) {
    const headers = { 'content-type': type }
    await ask('PUT', `/v2/${repository}/manifests/${reference}`, 201, { headers, body: bytes })
  }
  for (const path of found.deleted) await ask('DELETE', path, 202)
  const started = await ask('POST', `/v2/${found.upload.repository}/blobs/uploads/`, 202)
  const location = started.headers.get('location') ?? ''
  await ask('PATCH', location, 202, { body: found.upload.bytes.subarray(0, found.upload.received) })
  return location
}

/** Removes empty folders: git does not store them, and the server creates those that it needs. */
async function removeEmptyFolders(path: string): Promise<void> {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeEmptyFolders(join(path, entry.name))
  }
  if (readdirSync(path).length === 0) await rmdir(path)
}
