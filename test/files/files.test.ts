import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { EMPTY, imageManifest, type Named, named } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { directory, type Member, tar } from '../support/tar.ts'

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
}, 30_000)
afterAll(() => server.stop())

const NEWEST = 'a'.repeat(300_000)

function layerOf(members: Member[]): Named {
  return named(Bun.gzipSync(tar(members)))
}

const base = layerOf([
  directory('etc'),
  { name: 'etc/passwd', content: 'root:x:0:0\n', uid: 1, gid: 2, mode: 0o640 },
  { name: 'etc/old' },
])
const top = named(
  Bun.zstdCompressSync(
    tar([
      { name: 'etc/.wh.old' },
      { name: 'etc/new', content: NEWEST },
      { name: 'etc/<b>\u202egnp.exe', content: '<script>' },
      { name: 'etc/mtab', flag: '2', link: '../../../../etc/passwd' },
    ]),
  ),
)

async function push(repository: string, tag: string, layers: Named[]): Promise<Named> {
  return await pushImage(server, repository, imageManifest(EMPTY, layers), layers, { reference: tag })
}

/** Reads a page of files as soon as its index is made. */
async function read<T>(
  path: string,
  from = server,
): Promise<T & { items: Record<string, unknown>[]; nextCursor?: string }> {
  for (;;) {
    const response = await from.fetch(`/api/v1/repositories/${path}`)
    const page = (await response.json()) as T & { items: Record<string, unknown>[]; indexing?: object }
    expect([response.status, page]).toEqual([200, page])
    if (page.indexing === undefined) return page
  }
}

async function problem(path: string): Promise<string> {
  const response = await server.fetch(`/api/v1/repositories/${path}`)
  const { detail } = (await response.json()) as { detail: string }
  return `${response.status} ${detail}`
}

test('files: an image is listed with all its layers, and a layer as it is', async () => {
  await push('files/list', 'v1', [base, top])
  const image = await read('files%2Flist/manifests/v1/files?path=etc')
  expect(image.items.map(({ name }) => name)).toEqual(['<b>\u202egnp.exe', 'mtab', 'new', 'passwd'])
  expect(image.items[3]).toEqual({
    name: 'passwd',
    path: 'etc/passwd',
    kind: 'file',
    bytes: 11,
    mode: '0640',
    uid: 1,
    gid: 2,
    modifiedAt: '2023-11-14T22:13:20.000Z',
    digest: `sha256:${new Bun.CryptoHasher('sha256').update('root:x:0:0\n').digest('hex')}`,
    layer: base.digest,
    opaque: false,
  })
  expect(image.items[1]).toMatchObject({
    kind: 'symlink',
    target: '../../../../etc/passwd',
    layer: top.digest,
  })
  const layer = await read(`files%2Flist/layers/${top.digest}/files?path=etc`)
  expect(layer.items.map(({ name, kind }) => [name, kind])).toContainEqual(['old', 'whiteout'])
})

test('files: lists and searches have pages', async () => {
  await push('files/pages', 'v1', [base, top])
  const path = 'files%2Fpages/manifests/v1/files?limit=3&path=etc'
  const first = await read(path)
  const second = await read(`${path}&cursor=${first.nextCursor}`)
  expect([first.items.length, second.items.map(({ name }) => name), second.nextCursor]).toEqual([
    3,
    ['passwd'],
    undefined,
  ])
  const found = await read('files%2Fpages/manifests/v1/files?search=PASS')
  expect(found.items.map(({ path }) => path)).toEqual(['etc/passwd'])
  expect(await problem(`${'files%2Fpages/manifests/v1/files'}?cursor=x`)).toMatch(/^400 cursor/)
})

test('files: one is downloaded as an attachment that no browser runs, from any compression', async () => {
  await push('files/get', 'v1', [base, top])
  await read('files%2Fget/manifests/v1/files')
  const image = '/api/v1/repositories/files%2Fget/manifests/v1/files/content'
  const large = await server.fetch(`${image}?path=etc/new`)
  expect(await large.text()).toBe(NEWEST)
  const hostile = await server.fetch(`${image}?path=${encodeURIComponent('etc/<b>\u202egnp.exe')}`)
  expect(await hostile.text()).toBe('<script>')
  expect(Object.fromEntries(hostile.headers)).toMatchObject({
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename="file"; filename*=UTF-8''%3Cb%3E_gnp.exe`,
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
  })
  const head = await server.fetch(`${image}?path=etc/new`, { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  const layer = await server.fetch(
    `/api/v1/repositories/files%2Fget/layers/${base.digest}/files/content?path=etc/passwd`,
  )
  expect(await layer.text()).toBe('root:x:0:0\n')
})

test('files: a download by a client that leaves does not keep its place', async () => {
  const big = layerOf([
    { name: 'big', content: crypto.getRandomValues(new Uint8Array(65_536)) },
    { name: 'huge', content: new Uint8Array(2 ** 24) },
  ])
  await push('files/leave', 'v1', [big])
  await read('files%2Fleave/manifests/v1/files')
  const path = '/api/v1/repositories/files%2Fleave/manifests/v1/files/content?path=huge'
  const leave = async () => {
    const leaving = new AbortController()
    const response = await server.fetch(path, { signal: leaving.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    leaving.abort()
    await reader?.read().catch(() => {})
  }
  // As many as one account can have at the same time.
  await Promise.all(Array.from({ length: 8 }, leave))
  let last = await server.fetch(path)
  while (last.status === 503) last = await server.fetch(path)
  expect((await last.bytes()).length).toBe(2 ** 24)
})

test('files: two images are compared, with the layer of each file', async () => {
  await push('files/compare', 'v1', [base])
  await push('files/compare', 'v2', [base, top])
  const path = 'files%2Fcompare/manifests/v1/files/changes?to=v2'
  const { items, ...rest } = await read<{ summary: object }>(path)
  expect(items.map(({ path, change }) => [path, change])).toEqual([
    ['etc/<b>\u202egnp.exe', 'added'],
    ['etc/mtab', 'added'],
    ['etc/new', 'added'],
    ['etc/old', 'removed'],
  ])
  expect(items[2]?.to).toMatchObject({ kind: 'file', bytes: NEWEST.length, layer: top.digest })
  expect(rest.summary).toEqual({
    added: 3,
    changed: 0,
    removed: 1,
    bytes: NEWEST.length + 8,
    truncated: false,
  })
  const first = await read(`${path}&limit=3`)
  expect((await read(`${path}&limit=3&cursor=${first.nextCursor}`)).items.map(({ path }) => path)).toEqual([
    'etc/old',
  ])
})

test('files: what cannot be shown is refused with its reason', async () => {
  const text = named('no archive')
  const absent = layerOf([{ name: 'x' }])
  await push('files/bad', 'v1', [base, text])
  await push('files/bad', 'v2', [base])
  const image = 'files%2Fbad/manifests/v2/files'
  expect(await problem('files%2Fbad/manifests/v1/files')).toBe(
    `405 the files of ${text.digest} cannot be shown: it is not a tar archive`,
  )
  expect(await problem(`files%2Fbad/layers/${absent.digest}/files`)).toBe(
    `404 files/bad has no blob ${absent.digest}`,
  )
  await read(image)
  expect(await problem(`${image}?path=none`)).toBe('404 there is no /none')
  expect(await problem(`${image}?path=etc/passwd`)).toBe('409 /etc/passwd is not a directory')
  expect(await problem(`${image}/content?path=etc`)).toBe('409 it is not a file with content')
  expect(await problem(`${image}/content?path=../../etc/shadow`)).toMatch(/^404/)
})

test('files: a layer of one repository cannot be read through another', async () => {
  const secret = layerOf([{ name: 'secret' }])
  await pushBlob(server, 'files/private', secret)
  await read(`files%2Fprivate/layers/${secret.digest}/files`)
  await push('files/public', 'v1', [base])
  expect(await problem(`files%2Fpublic/layers/${secret.digest}/files`)).toMatch(/^404/)
})

test('files: an index is made as a job once for all, and kept in the data folder', async () => {
  const layer = layerOf([{ name: 'once' }])
  await push('files/once', 'v1', [layer])
  await Promise.all(Array.from({ length: 5 }, () => read('files%2Fonce/manifests/v1/files')))
  const jobs = (await (await server.fetch('/api/v1/jobs')).json()) as {
    items: { kind: string; state: string; progress: { total?: number } }[]
  }
  const made = jobs.items.filter(
    ({ kind, progress }) => kind === 'index' && progress.total === layer.bytes.length,
  )
  expect(made.map(({ state }) => state)).toEqual(['done'])
  expect(readdirSync(join(server.data, 'file-indexes'))).toContain(
    `layer-${layer.digest.replace(':', '-')}.db`,
  )
})

test('files: the index of a layer is removed with the layer', async () => {
  let clock = Date.UTC(2026, 0, 1)
  await using own = await startInProcess({ now: () => clock })
  const layer = named(tar([{ name: 'file', content: crypto.getRandomValues(new Uint8Array(100_000)) }]))
  const { digest } = await pushImage(own, 'team/app', imageManifest(EMPTY, [layer]), [layer])
  await read(`team%2Fapp/manifests/${digest}/files`, own)
  const indexes = () => readdirSync(join(own.data, 'file-indexes'))
  expect(indexes()).toHaveLength(1)
  const path = `/api/v1/repositories/team%2Fapp/manifests/${digest}`
  expect((await own.fetch(path, { method: 'DELETE' })).status).toBe(204)
  // The manifest is collected first, and its layer one grace period later.
  for (let run = 0; run < 2; run++) {
    clock += 30 * 86_400_000
    const body = JSON.stringify({ kind: 'gc' })
    const headers = { 'content-type': 'application/json' }
    const started = await own.fetch('/api/v1/jobs', { method: 'POST', body, headers })
    const { id } = (await started.json()) as { id: string }
    await (await own.fetch(`/api/v1/jobs/${id}/events`)).text()
  }
  expect(indexes()).toEqual([])
})
