import { afterAll, beforeAll, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import {
  descriptor,
  digestOf,
  EMPTY,
  imageIndex,
  imageManifest,
  named,
  OCI_INDEX,
} from '../support/content.ts'
import { pushBlob, pushImage, pushManifest } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

interface Page<T> {
  items: T[]
  nextCursor?: string
}
type Tag = Record<string, string | number>

let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
const layer = named('a layer')
const first = imageManifest(EMPTY, [layer], { annotations: { is: 'first' } })
const second = imageManifest(EMPTY, [layer], { annotations: { is: 'second' } })
const tags = (repository: string) => `/repositories/${encodeURIComponent(repository)}/tags`
const owner = () => server.as(basic('admin'))
const push = (repository: string, reference: string, manifest = first) =>
  pushImage(owner(), repository, manifest, [layer], { reference })

beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock })
}, 60_000)
afterAll(() => server.stop())

async function ask(method: string, at: string, body?: object, headers: Record<string, string> = {}) {
  const response = await owner().fetch(`/api/v1${at}`, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const json = JSON.parse((await response.text()) || 'null') as Tag
  return { status: response.status, etag: response.headers.get('etag') ?? '', json }
}

/** Returns the names of a whole list, page by page. */
async function namesOf(list: string): Promise<(string | number)[][]> {
  const pages: (string | number)[][] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const page: Page<Tag> = await server.admin('GET', `${list}&cursor=${encodeURIComponent(last)}`)
    pages.push(page.items.map(({ name = '' }) => name))
    last = page.nextCursor
  }
  return pages
}

test('tags: the list is sorted by name or time, in either direction, and paginated', async () => {
  for (const name of ['b.2', 'a', 'c', 'b.1']) {
    clock += name === 'c' ? 0 : 1000
    await push('sorted/app', name)
  }
  const list = tags('sorted/app')
  expect(await namesOf(`${list}?limit=3`)).toEqual([['a', 'b.1', 'b.2'], ['c']])
  expect(await namesOf(`${list}?limit=3&order=desc`)).toEqual([['c', 'b.2', 'b.1'], ['a']])
  expect(await namesOf(`${list}?limit=1&sort=updated`)).toEqual([['b.2'], ['a'], ['c'], ['b.1']])
  expect(await namesOf(`${list}?limit=2&sort=updated&order=desc`)).toEqual([
    ['b.1', 'c'],
    ['a', 'b.2'],
  ])
  expect(await namesOf(`${list}?q=B.`)).toEqual([['b.1', 'b.2']])
  expect(await namesOf(`${list}?q=%25`)).toEqual([[]])
})

test('tags: one shows its manifest, also with another digest algorithm', async () => {
  const reference = `${digestOf(first.bytes, 'sha512')}?tag=long`
  await pushImage(owner(), 'shown/app', first, [layer], { reference: 'short' })
  await pushManifest(owner(), 'shown/app', first, { reference })
  const { json } = await ask('GET', `${tags('shown/app')}/long`)
  expect(json).toEqual({
    name: 'long',
    digest: digestOf(first.bytes, 'sha512'),
    kind: 'Container image',
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    artifactType: 'application/vnd.oci.image.config.v1+json',
    bytes: first.bytes.length,
    pushedAt: new Date(clock).toISOString(),
    updatedAt: new Date(clock).toISOString(),
    pullCount: 0,
  })
  const { items } = await server.admin<Page<Tag>>('GET', tags('shown/app'))
  expect(items.map(({ name, kind }) => [name, kind])).toEqual([
    ['long', 'Container image'],
    ['short', 'Container image'],
  ])
})

test('tags: one can only point at an existing manifest', async () => {
  await push('put/app', 'latest')
  await push('put/app', 'v2', second)
  const tag = `${tags('put/app')}/latest`
  expect((await ask('PUT', tag, { digest: second.digest })).status).toBe(200)
  expect((await ask('GET', tag)).json).toMatchObject({ digest: second.digest })
  const absent = await ask('PUT', tag, { digest: named('absent').digest })
  expect([absent.status, absent.json.code]).toEqual([404, 'MANIFEST_UNKNOWN'])
  expect((await ask('PUT', tag, { digest: 'sha256:x' })).status).toBe(400)
  expect((await ask('PUT', `${tags('put/app')}/-`, { digest: second.digest })).status).toBe(400)
})

test('tags: a change checks its precondition, also against a push', async () => {
  await push('conditional/app', 'latest')
  const tag = `${tags('conditional/app')}/latest`
  const { etag } = await ask('GET', tag)
  expect((await ask('PUT', tag, { digest: first.digest }, { 'if-none-match': '*' })).status).toBe(412)
  expect((await ask('PUT', tag, { digest: first.digest }, { 'if-match': etag })).status).toBe(200)
  await push('conditional/app', 'latest', second)
  expect((await ask('DELETE', tag, undefined, { 'if-match': etag })).status).toBe(412)
  const { etag: newer } = await ask('GET', tag)
  expect(newer).not.toBe(etag)
  expect((await ask('DELETE', tag, undefined, { 'if-match': newer })).status).toBe(204)
})

test('tags: one expires at its time, or never', async () => {
  await push('ending/app', 'latest')
  const tag = `${tags('ending/app')}/latest`
  const expiresAt = new Date(clock + 3_600_000).toISOString()
  await server.admin('PATCH', tag, { expiresAt })
  expect((await ask('GET', tag)).json).toMatchObject({ expiresAt })
  await server.admin('PATCH', tag, { expiresAt: null })
  expect(Object.keys((await ask('GET', tag)).json)).not.toContain('expiresAt')
  await server.admin('PATCH', tag, { expiresAt })
  const past = new Date(clock - 1).toISOString()
  for (const expiresAt of [past, '+275760-09-13T00:00:00Z'])
    expect([expiresAt, (await ask('PATCH', tag, { expiresAt })).status]).toEqual([expiresAt, 400])
  clock += 3_600_000
  expect((await ask('GET', tag)).status).toBe(404)
  expect((await owner().fetch('/v2/ending/app/manifests/latest')).status).toBe(404)
})

test('tags: one is restored by digest or by time, together with its deleted manifest', async () => {
  await push('back/app', 'latest')
  clock += 60_000
  const at = new Date(clock).toISOString()
  clock += 60_000
  await push('back/app', 'latest', second)
  const tag = `${tags('back/app')}/latest`
  const manifest = `/repositories/back%2Fapp/manifests/${first.digest}`
  await server.admin('DELETE', manifest)
  expect((await ask('GET', manifest)).status).toBe(404)
  expect(await server.admin('POST', `${tag}/restore`, { at })).toMatchObject({ digest: first.digest })
  const pulled = await owner().fetch('/v2/back/app/manifests/latest')
  expect(Buffer.from(await pulled.bytes()).equals(first.bytes)).toBe(true)
  const { items } = await server.admin<Page<Tag>>('GET', `${tag}/history?limit=2`)
  expect(items).toMatchObject([
    {
      type: 'tag.restore',
      digest: first.digest,
      previousDigest: second.digest,
      restorable: true,
      account: 'admin',
    },
    { type: 'manifest.push', digest: second.digest, previousDigest: first.digest },
  ])
  await server.admin('DELETE', tag)
  await server.admin('POST', `${tag}/restore`, { digest: second.digest })
  expect((await ask('GET', tag)).json).toMatchObject({ digest: second.digest })
  expect((await ask('POST', `${tag}/restore`, {})).status).toBe(400)
  expect((await ask('POST', `${tag}/restore`, { at, digest: first.digest })).status).toBe(400)
  expect((await ask('POST', `${tag}/restore`, { digest: named('never').digest })).status).toBe(404)
})

test('tags: immutable ones cannot be moved or deleted', async () => {
  await push('fixed/app', 'v1')
  await push('fixed/app', 'v2', second)
  await server.admin('PATCH', '/repositories/fixed%2Fapp', { immutableTags: ['*'] })
  const tag = `${tags('fixed/app')}/v1`
  expect((await ask('PUT', tag, { digest: second.digest })).status).toBe(409)
  expect((await ask('DELETE', tag)).status).toBe(409)
  expect((await ask('PUT', `${tags('fixed/app')}/v3`, { digest: second.digest })).status).toBe(201)
})

test('tags: pulls and pushes are counted by repository and tag', async () => {
  await using folder = await temporaryFolder('counted')
  const data = folder.path
  {
    await using counting = await startInProcess({ data })
    await pushImage(counting, 'a/b', first, [layer], { reference: 'latest' })
    for (const reference of ['latest', 'latest', first.digest]) {
      await (await counting.fetch(`/v2/a/b/manifests/${reference}`)).bytes()
    }
    await counting.fetch('/v2/a/b/manifests/latest', { method: 'HEAD' })
  }
  await using again = await startInProcess({ data })
  const read = async (at: string) =>
    (await (await again.fetch(`/api/v1/repositories/a%2Fb${at}`)).json()) as Tag
  expect(await read('/tags/latest')).toMatchObject({ pullCount: 2, lastPulledAt: expect.any(String) })
  expect(await read('')).toMatchObject({ pullCount: 3, pushCount: 1, lastPushedAt: expect.any(String) })
})

test('tags: a tagged index has its kind', async () => {
  await pushBlob(owner(), 'index/app', EMPTY)
  await pushManifest(owner(), 'index/app', imageIndex([]), { reference: 'latest', type: OCI_INDEX })
  expect((await ask('GET', `${tags('index/app')}/latest`)).json).toMatchObject({ kind: 'Image index' })
})

test.each([
  ['GET', '/repositories/none/tags', undefined, 404],
  ['GET', '/repositories/none/tags/latest', undefined, 404],
  ['GET', '/repositories/put%2Fapp/tags?sort=size', undefined, 400],
  ['GET', '/repositories/put%2Fapp/tags?sort=updated&cursor=x', undefined, 400],
  ['PATCH', '/repositories/put%2Fapp/tags/latest', { expiresAt: 'tomorrow' }, 400],
  ['PATCH', '/repositories/put%2Fapp/tags/latest', {}, 400],
] as const)('%s %s %j is %d', async (method, at, body, status) => {
  expect((await ask(method, at, body)).status).toBe(status)
})

test('tags: with details, a list has the total size and the platforms of each image and index', async () => {
  const config = named(JSON.stringify({ os: 'linux', architecture: 'arm64', variant: 'v8', rootfs: {} }))
  const image = imageManifest(config, [layer])
  await pushImage(owner(), 'detailed/app', image, [config, layer], { reference: 'image' })
  const { mediaType } = JSON.parse(new TextDecoder().decode(image.bytes))
  const entry = (os: string, architecture: string) =>
    descriptor(image, mediaType, { platform: { os, architecture } })
  const index = imageIndex([entry('linux', 'amd64'), entry('unknown', 'unknown')])
  await pushManifest(owner(), 'detailed/app', index, { reference: 'index', type: OCI_INDEX })
  const { items }: Page<Tag> = await server.admin('GET', `${tags('detailed/app')}?details=true`)
  const imageBytes = image.bytes.length + config.bytes.length + layer.bytes.length
  expect(items.map(({ name, totalBytes, platforms }) => ({ name, totalBytes, platforms }))).toEqual([
    { name: 'image', totalBytes: imageBytes, platforms: ['linux/arm64/v8'] },
    { name: 'index', totalBytes: imageBytes + index.bytes.length, platforms: ['linux/amd64'] },
  ] as never)
  const plain: Page<Tag> = await server.admin('GET', tags('detailed/app'))
  expect(
    plain.items.some(({ totalBytes, platforms }) => totalBytes !== undefined || platforms !== undefined),
  ).toBe(false)
})
