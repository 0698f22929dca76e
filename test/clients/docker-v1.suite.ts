import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Registry } from '../../scripts/lib/registry.ts'
import { type Server, startServer } from '../../scripts/lib/server.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openShell, type Shell } from './client.ts'
import { containersHome } from './homes.ts'
import { imageConfig, layersOf, layersOfFolder, makeSamples } from './samples.ts'

/**
 * A client of Docker's V1 API pulls images of each format, and interrupts and resumes the download of each layer. The
 * layers must be the same as those that skopeo pulls.
 */

const password = 'correct-horse'
const formats = ['schema1', 'schema2', 'oci', 'list', 'index'] as const
/** How a client authenticates after the first request of a pull. */
const proofs = ['token', 'cookie', 'basic'] as const
type Proof = (typeof proofs)[number] | 'none'

describe('docker V1', () => {
  const ids: Record<string, string[]> = {}
  let folder: TemporaryFolder
  let skopeo: Shell
  let server: Server
  const start = () =>
    startServer({
      data: join(folder.path, 'data'),
      access: 'accounts',
      env: { CAY_ADMIN_PASSWORD: password },
    })
  beforeAll(async () => {
    folder = await temporaryFolder('docker-v1')
    const { env } = await containersHome(folder.path)
    skopeo = await openShell(folder.path, ['skopeo'], env)
    server = await start()
    const registry = new Registry(`admin:${password}@${server.address}`)
    await registry.api('PUT', '/users/reader', { password })
    await registry.api('PUT', '/grants', { subject: 'reader', pattern: 'private/**', role: 'reader' })
    await registry.api('PUT', '/grants', { subject: 'anonymous', pattern: 'public/**', role: 'reader' })
    for (const [repository, format] of [
      ...formats.map((format) => [`private/${format}`, format] as const),
      ['public/oci', 'oci'] as const,
    ])
      await registry.pushContent(repository, 'v', (await makeSamples(repository, 'v'))[format])
  })
  afterAll(async () => {
    await server.stop()
    await folder[Symbol.asyncDispose]()
  })

  /** Pulls by V1, compares with what skopeo pulls, and returns the ids. */
  const compare = async (repository: string, proof: Proof): Promise<string[]> => {
    const to = join(folder.path, `pulled-${repository.replace('/', '-')}`)
    const flags = `--src-tls-verify=false --src-creds admin:${password}`
    const platform = '--override-os linux --override-arch amd64'
    await skopeo(`[ -e ${to} ] ||
      skopeo ${platform} copy ${flags} docker://${server.address}/${repository}:v dir:${to}`)
    const credentials = proof === 'none' ? undefined : `reader:${password}`
    const { layers, leaf, ids } = await pull(server.address, repository, credentials, proof)
    expect([leaf.config, leaf.architecture]).toEqual([imageConfig, 'amd64'])
    expect(layersOf(layers)).toHaveLength(3)
    expect(layersOf(layers)).toEqual(await layersOfFolder(to))
    return ids
  }

  for (const format of formats)
    test.each(proofs)(`an image pushed as ${format} is pulled by %s`, async (proof) => {
      ids[`${format} ${proof}`] = await compare(`private/${format}`, proof)
    })
  test('a public image is pulled without signing in', () => compare('public/oci', 'none'))

  describe('after a restart', () => {
    beforeAll(async () => {
      await server.stop()
      server = await start()
    })
    test.each(formats)('the ids of an image pushed as %s are the same, for each client', async (format) => {
      const now = await compare(`private/${format}`, 'token')
      for (const proof of proofs) expect(ids[`${format} ${proof}`]).toEqual(now)
    })
  })
})

/** Pulls an image as Docker 1.5 and the specification of V1 do. Returns its layers as they were sent, base first. */
async function pull(address: string, repository: string, credentials: string | undefined, proof: Proof) {
  const registry = new Registry(address)
  const ping = await registry.get('/v1/_ping')
  expect([ping.text, ping.headers.get('x-docker-registry-standalone')]).toEqual(['true', '0'])
  expect(ping.headers.get('x-docker-registry-version')).toMatch(/^0\.\d+\.\d+$/)
  const headers = await begin(registry, repository, credentials, proof)
  const get = async <T>(path: string) => (await registry.get(`/v1/${path}`, headers)).json<T>()
  const { v: leafId = '' } = await get<Record<string, string>>(`repositories/${repository}/tags`)
  expect(leafId).toMatch(/^[0-9a-f]{64}$/)
  expect(await get<string>(`repositories/${repository}/tags/v`)).toBe(leafId)
  const ids = await get<string[]>(`images/${leafId}/ancestry`)
  expect(ids[0]).toBe(leafId)
  const images = await Promise.all(
    ids.map(async (id, number) => {
      const answer = await registry.get(`/v1/images/${id}/json`, headers)
      const json = answer.json<Record<string, unknown>>()
      expect([json.id, json.parent]).toEqual([id, ids[number + 1]])
      expect(Date.parse(String(json.created))).toBeFinite()
      const layer = await download(address, `/v1/images/${id}/layer`, headers)
      expect(answer.headers.get('x-docker-size')).toBe(String(layer.length))
      return { json, layer }
    }),
  )
  return { layers: images.map(({ layer }) => layer).reverse(), leaf: images[0]!.json, ids }
}

/** Requests the repository's images; the response has the token and the cookie. Returns the headers for the next requests. */
async function begin(registry: Registry, repository: string, credentials: string | undefined, proof: Proof) {
  const authorization = credentials && `Basic ${btoa(credentials)}`
  const sent = { 'x-docker-token': 'true', ...(authorization && { authorization }) }
  const answer = await registry.get(`/v1/repositories/${repository}/images`, sent)
  expect(answer.json<unknown>()).toEqual([])
  expect(answer.headers.get('x-docker-endpoints')).toBe(registry.address)
  const token = answer.headers.get('x-docker-token')
  if (proof === 'token') expect(token).toMatch(/^signature=\S+,repository="\S+",access=read$/)
  if (proof === 'none') expect(token).toBeNull()
  const headers: Record<Proof, Record<string, string>> = {
    token: { authorization: `Token ${token}` },
    cookie: { cookie: answer.headers.get('set-cookie')?.split(';')[0] ?? '' },
    basic: { authorization: authorization ?? '' },
    // Docker sends an empty token when it got none.
    none: { authorization: 'Token ' },
  }
  return headers[proof]
}

/** Interrupts the download of a layer after half of its bytes, and resumes it. */
async function download(address: string, path: string, headers: Record<string, string>): Promise<Buffer> {
  const registry = new Registry(address)
  const head = await registry.expect([200], 'HEAD', path, { headers })
  expect(head.headers.get('accept-ranges')).toBe('bytes')
  const size = Number(head.headers.get('content-length'))
  const begun = await fetch(`http://${address}${path}`, { headers })
  expect(begun.status).toBe(200)
  let read = Buffer.alloc(0)
  for await (const chunk of begun.body ?? []) {
    read = Buffer.concat([read, chunk])
    if (read.length >= size / 2) break
  }
  const start = Math.floor(size / 2)
  const range = { ...headers, range: `bytes=${start}-` }
  const rest = await registry.expect([206], 'GET', path, { headers: range })
  expect(rest.headers.get('content-range')).toBe(`bytes ${start}-${size - 1}/${size}`)
  return Buffer.concat([read.subarray(0, start), rest.bytes])
}
