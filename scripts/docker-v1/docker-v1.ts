import { deepEqual, equal, ok } from 'node:assert/strict'
import { join } from 'node:path'
import { applyLayers, type FileSystem } from '../formats/file-system.ts'
import { imageConfig, makeSamples } from '../formats/samples.ts'
import { readLayers, skopeoIn } from '../formats/skopeo.ts'
import { CaseReport } from '../lib/cases.ts'
import { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { type Proof, V1Client } from './client.ts'

const password = 'correct-horse'
const formats = ['schema1', 'schema2', 'oci', 'list', 'index'] as const
const proofs: Proof[] = ['token', 'cookie', 'basic']

/**
 * `docker-v1`: a client of Docker's V1 API pulls images of each format from the executable, and interrupts and resumes
 * the download of each layer. The file system must be the same as the one that skopeo pulls.
 */
export async function run(): Promise<void> {
  await using folder = await temporaryFolder('docker-v1')
  const data = join(folder.path, 'data')
  const report = new CaseReport()
  const tryCase = (name: string, runCase: () => Promise<void>) => report.try('docker v1', name, runCase)
  const ids = new Map<string, string[]>()
  const start = () => startServer({ data, access: 'accounts', env: { CAY_ADMIN_PASSWORD: password } })
  {
    await using server = await start()
    const skopeo = await skopeoPull(server.address, folder.path)
    await fill(server.address)
    for (const format of formats) {
      const repository = `private/${format}`
      const expected = await skopeo(repository, 'v')
      for (const proof of proofs) {
        await tryCase(`${format}, by ${proof}`, async () => {
          const client = new V1Client(server.address, `reader:${password}`, proof)
          ids.set(`${repository} ${proof}`, await compare(client, repository, expected))
        })
      }
    }
    await tryCase('a public image, without signing in', async () => {
      const client = new V1Client(server.address, undefined, 'none')
      await compare(client, 'public/oci', await skopeo('public/oci', 'v'))
    })
  }
  await using server = await start()
  for (const format of formats) {
    await tryCase(`${format}: its ids are the same after a restart, and for each client`, async () => {
      const client = new V1Client(server.address, `reader:${password}`, 'token')
      const now = (await client.pull(`private/${format}`, 'v')).ids
      for (const proof of proofs) deepEqual(ids.get(`private/${format} ${proof}`), now)
    })
  }
  report.end(server)
}

/** Pushes an image in each format and a public one, and adds an account that can pull them. */
async function fill(address: string): Promise<void> {
  const registry = new Registry(`admin:${password}@${address}`)
  await registry.api('PUT', '/users/reader', { password })
  await registry.api('PUT', '/grants', { subject: 'reader', pattern: 'private/**', role: 'reader' })
  await registry.api('PUT', '/grants', { subject: 'anonymous', pattern: 'public/**', role: 'reader' })
  for (const format of formats) {
    const { [format]: sample } = await makeSamples(`private/${format}`, 'v')
    await registry.pushContent(`private/${format}`, 'v', sample)
  }
  const { oci } = await makeSamples('public/oci', 'v')
  await registry.pushContent('public/oci', 'v', oci)
}

/** Pulls by V1, and returns the ids. */
async function compare(client: V1Client, repository: string, expected: FileSystem): Promise<string[]> {
  const { layers, leaf, ids } = await client.pull(repository, 'v')
  deepEqual(leaf.config, imageConfig)
  equal(leaf.architecture, 'amd64')
  deepEqual(await applyLayers(layers), expected)
  return ids
}

/** Pulls with skopeo, and applies the layers. */
async function skopeoPull(address: string, folder: string) {
  const skopeo = await skopeoIn(folder)
  return async (repository: string, tag: string): Promise<FileSystem> => {
    const to = join(folder, repository.replace('/', '-'))
    const options = ['--src-tls-verify=false', '--src-creds', `admin:${password}`]
    const platform = ['--override-os', 'linux', '--override-arch', 'amd64']
    await skopeo(...platform, 'copy', ...options, `docker://${address}/${repository}:${tag}`, `dir:${to}`)
    const files = await applyLayers(await readLayers(to))
    ok(files.size > 10)
    return files
  }
}
