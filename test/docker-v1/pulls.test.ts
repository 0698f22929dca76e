import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  json,
  named,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { expectStatus, pushImage, pushManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { oldImage } from '../support/v1.ts'
import { AT, CALLER, open } from '../support/writes.ts'

const EMPTY_LAYER = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4'

const image = oldImage()
const other = oldImage({ author: 'other' })
const artifact = imageManifest(EMPTY, [], { artifactType: 'application/vnd.example' })
const zstd = named('zstd')
const unreadable = json({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: descriptor(EMPTY, OCI_CONFIG),
  layers: [descriptor(zstd, 'application/vnd.oci.image.layer.v1.tar+zstd')],
})
const amd64 = { platform: { os: 'linux', architecture: 'amd64' } }
const arm64 = { platform: { os: 'linux', architecture: 'arm64' } }
const index = imageIndex([
  descriptor(other.manifest, OCI_MANIFEST, arm64),
  descriptor(image.manifest, OCI_MANIFEST, amd64),
])
const foreign = imageIndex([descriptor(other.manifest, OCI_MANIFEST, arm64)])

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
  await push('app', image, 'v1')
  await push('team/app', image, 'v1')
  await push('team/app', other, 'v2')
  await pushManifest(server, 'team/app', index, { type: OCI_INDEX, reference: 'index' })
  await pushManifest(server, 'team/app', foreign, { type: OCI_INDEX, reference: 'arm64' })
  await pushImage(server, 'team/app', artifact, [], { reference: 'artifact' })
  await pushImage(server, 'team/app', unreadable, [zstd], { reference: 'zstd' })
})
afterAll(() => server.stop())

async function push(repository: string, { manifest, blobs }: ReturnType<typeof oldImage>, reference: string) {
  await pushImage(server, repository, manifest, blobs, { reference })
}

async function get(path: string, status = 200): Promise<Response> {
  return await expectStatus(await server.fetch(`/v1/${path}`), status)
}

async function read<T = unknown>(path: string): Promise<T> {
  return (await (await get(path)).json()) as T
}

async function reasonOf(path: string): Promise<string> {
  const { errors } = (await (await get(path, 404)).json()) as { errors: { message: string }[] }
  return errors[0]?.message ?? ''
}

const idOf = (repository: string, tag: string) => read<string>(`repositories/${repository}/tags/${tag}`)
const ancestryOf = (id: string) => read<string[]>(`images/${id}/ancestry`)

describe('docker v1: a repository', () => {
  test('has an empty list of images, and returns the host of the images', async () => {
    const response = await get('repositories/team/app/images')
    expect(await response.json()).toEqual([])
    expect(response.headers.get('x-docker-endpoints')).toBe(new URL(server.url).host)
    expect(response.headers.get('content-type')).toBe('application/json')
  })

  test('of one component has no alias', async () => {
    expect(Object.keys(await read<object>('repositories/app/tags'))).toEqual(['v1'])
    await get('repositories/library/app/tags', 404)
  })

  test('lists each tag with an id', async () => {
    const tags = await read<Record<string, string>>('repositories/team/app/tags')
    expect(Object.keys(tags)).toEqual(['artifact', 'arm64', 'index', 'v1', 'v2', 'zstd'].sort())
    for (const [tag, id] of Object.entries(tags)) {
      expect(id).toMatch(/^[0-9a-f]{64}$/)
      expect(await idOf('team/app', tag)).toBe(id)
    }
    expect(new Set(Object.values(tags)).size).toBe(6)
  })

  test.each(['repositories/none/images', 'repositories/none/tags', 'repositories/team/app/tags/none'])(
    'that is not here: %s',
    async (path) => void (await get(path, 404)),
  )
})

describe('docker v1: an image', () => {
  test('has a parent for each step of its history, and the layers of the image', async () => {
    const ids = await ancestryOf(await idOf('team/app', 'v1'))
    const [base, top] = image.layers
    const digests = [EMPTY_LAYER, top?.digest, EMPTY_LAYER, base?.digest]
    expect(ids.length).toBe(4)
    for (const [number, id] of ids.entries()) {
      const response = await get(`images/${id}/json`)
      const found = (await response.json()) as { id: string; parent?: string; Size: number }
      expect([found.id, found.parent]).toEqual([id, ids[number + 1]])
      const layer = await get(`images/${id}/layer`)
      const bytes = await layer.bytes()
      expect(layer.headers.get('etag')).toBe(`"${digests[number]}"`)
      expect(named(bytes).digest).toBe(digests[number] ?? '')
      expect([found.Size, response.headers.get('x-docker-size')]).toEqual([bytes.length, `${bytes.length}`])
      expect(await ancestryOf(id)).toEqual(ids.slice(number))
    }
    expect(await read(`images/${ids[0]}/json`)).toMatchObject({ os: 'linux', config: { Cmd: ['sh'] } })
  })

  test('of an index is the linux/amd64 one', async () => {
    const [leaf, ...below] = await ancestryOf(await idOf('team/app', 'index'))
    expect(below.length).toBe(3)
    const direct = await ancestryOf(await idOf('team/app', 'v1'))
    const { id: _, parent: __, ...fields } = await read<Record<string, unknown>>(`images/${leaf}/json`)
    expect(await read(`images/${direct[0]}/json`)).toMatchObject(fields)
  })

  test('serves a range of a layer, so that a pull can resume', async () => {
    const ids = await ancestryOf(await idOf('team/app', 'v1'))
    const path = `/v1/images/${ids[1]}/layer`
    const layer = image.layers[1]?.bytes ?? new Uint8Array()
    const head = await server.fetch(path, { method: 'HEAD' })
    expect([head.headers.get('accept-ranges'), head.headers.get('content-length')]).toEqual([
      'bytes',
      `${layer.length}`,
    ])
    const part = await server.fetch(path, { headers: { range: 'bytes=10-' } })
    expect([part.status, part.headers.get('content-range')]).toEqual([
      206,
      `bytes 10-${layer.length - 1}/${layer.length}`,
    ])
    expect(Buffer.from(await part.bytes()).equals(layer.subarray(10))).toBe(true)
    expect((await server.fetch(path, { headers: { range: `bytes=${layer.length}-` } })).status).toBe(416)
  })

  test.each([
    ['artifact', /it is an artifact of type application\/vnd\.example/],
    ['zstd', /cannot read its layer sha256:\w+ of type application\/vnd\.oci\.image\.layer\.v1\.tar\+zstd/],
    ['arm64', /it is an index without an image for amd64 and linux/],
  ])('that V1 cannot give says why: %s', async (tag, reason) => {
    const id = await idOf('team/app', tag)
    for (const noun of ['ancestry', 'json', 'layer'])
      expect(await reasonOf(`images/${id}/${noun}`)).toMatch(reason)
  })

  test('is not found by another id', async () => {
    const id = await idOf('team/app', 'v1')
    const deeper = `${id.slice(0, 12)}ffff${id.slice(16)}`
    const changed = id.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
    for (const wrong of [deeper, changed, id.toUpperCase(), id.slice(1), 'theimage', '0'.repeat(64)]) {
      for (const noun of ['ancestry', 'json', 'layer']) await get(`images/${wrong}/${noun}`, 404)
    }
  })
})

test('docker v1: deleted content has no images', async () => {
  const going = oldImage({ author: 'going' })
  await push('going', going, 'v1')
  const id = await idOf('going', 'v1')
  await get(`images/${id}/json`)
  await expectStatus(
    await server.fetch(`/v2/going/manifests/${going.manifest.digest}`, { method: 'DELETE' }),
    202,
  )
  for (const noun of ['ancestry', 'json', 'layer']) await get(`images/${id}/${noun}`, 404)
  expect(await read('repositories/going/tags')).toEqual({})
})

test('docker v1: image ids survive a restart, and are deleted with their repository', async () => {
  await using folder = await temporaryFolder('v1')
  const { path: data } = folder
  const ask = async (server: TestServer, path: string) => await server.fetch(`/v1/${path}`)
  let id: unknown
  {
    await using server = await startInProcess({ data })
    await pushImage(server, 'app', image.manifest, image.blobs, { reference: 'v1' })
    id = await (await ask(server, 'repositories/app/tags/v1')).json()
  }
  {
    await using server = await startInProcess({ data })
    expect(await (await ask(server, 'repositories/app/tags/v1')).json()).toBe(id)
    expect((await ask(server, `images/${id}/layer`)).status).toBe(200)
  }
  const metadata = await open(data)
  await metadata.write('deleteRepository', { caller: CALLER, at: AT, repository: parseRepositoryName('app') })
  await metadata.close()
  await using server = await startInProcess({ data })
  for (const path of ['repositories/app/tags', `images/${id}/json`, `images/${id}/layer`]) {
    expect([path, (await ask(server, path)).status]).toEqual([path, 404])
  }
})

test.each([
  ['PUT', 'repositories/team/app/', ''],
  ['PUT', 'repositories/team/app/images', 'GET'],
  ['DELETE', 'repositories/team/app/images', 'GET'],
  ['PUT', 'repositories/team/app/tags/v1', 'GET'],
  ['DELETE', 'repositories/team/app/tags/v1', 'GET'],
  ['PUT', `images/${'a'.repeat(64)}/json`, 'GET, HEAD'],
  ['PUT', `images/${'a'.repeat(64)}/layer`, 'GET, HEAD'],
  ['PUT', `images/${'a'.repeat(64)}/checksum`, ''],
])('a push is refused with what to use: %s %s', async (method, path, allow) => {
  const response = await server.fetch(`/v1/${path}`, { method, body: '[]' })
  expect(response.status).toBe(405)
  expect(response.headers.get('allow')).toBe(allow)
  expect(await response.text()).toContain('push with Docker 1.6 or newer')
})

describe('docker v1: a search', () => {
  const names = async (query: string): Promise<string[]> => {
    const { results } = await read<{ results: { name: string }[] }>(`search?${query}`)
    return results.map(({ name }) => name)
  }

  test('finds part of a name', async () => {
    expect(await names('q=app')).toEqual(['app', 'team/app'])
    expect(await names('q=TEAM')).toEqual(['team/app'])
    expect(await names('q=%25')).toEqual([])
    expect(await read('search?q=team')).toMatchObject({
      num_results: 1,
      num_pages: 1,
      page: 1,
      page_size: 25,
    })
  })

  test('is paginated', async () => {
    expect(await names('q=app&n=1')).toEqual(['app'])
    expect(await names('q=app&n=1&page=2')).toEqual(['team/app'])
    expect(await names('q=app&n=1&page=3')).toEqual([])
    expect(await read('search?q=app&n=1&page=2')).toMatchObject({
      num_results: 2,
      num_pages: 2,
      page: 2,
      page_size: 1,
    })
    expect(await read('search?q=app&n=1000&page=x')).toMatchObject({ page: 1, page_size: 100 })
  })
})
