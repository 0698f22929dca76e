import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  json,
  type Named,
  named,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { pushBlob, pushImage, pushManifest } from '../support/push.ts'

interface Labels {
  items: { repository: string; tag: string | null; digest: string; label: string; kind: string }[]
  truncated: boolean
}

let server: AccountsServer
let clock = Date.UTC(2026, 0, 1)
const layer = named('a layer of labels')

/** Returns a config with labels. */
const config = (labels: Record<string, unknown>) => json({ os: 'linux', config: { Labels: labels } })

/** Pushes an image with these labels; `more` are fields of the manifest. */
async function push(
  repository: string,
  labels: Record<string, unknown>,
  reference?: string,
  more: object = {},
): Promise<Named> {
  const own = config(labels)
  const options = reference === undefined ? {} : { reference }
  return await pushImage(
    server.as(basic('admin')),
    repository,
    imageManifest(own, [layer], more),
    [layer, own],
    options,
  )
}

async function search(q: string, account = 'admin'): Promise<Labels> {
  const response = await server.as(basic(account)).fetch(`/api/v1/search?q=${encodeURIComponent(q)}`)
  expect(response.status).toBe(200)
  return ((await response.json()) as { labels: Labels }).labels
}

const find = async (q: string, account?: string) =>
  (await search(q, account)).items.map(({ repository, tag, label }) => `${repository}:${tag} ${label}`)

beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock })
  for (const name of ['alice', 'bob']) await server.addUser(name)
}, 60_000)
afterAll(() => server.stop())

test('label search: an image is found by the beginning of a label as soon as it is pushed', async () => {
  const { digest } = await push('alice/shop', { env: 'production', team: 'web' }, '1.0')
  const item = {
    repository: 'alice/shop',
    tag: '1.0',
    digest,
    label: 'env=production',
    kind: 'Container image',
  }
  for (const q of ['env', 'env=', 'env=prod', 'env=production'])
    expect(await search(q)).toEqual({ items: [item], truncated: false })
  for (const q of ['env=production2', 'nv=prod', 'production', 'ENV=production'])
    expect(await find(q)).toEqual([])
  clock += 1000
  await push('alice/shop', { env: 'production', team: 'web' }, 'newest')
  expect(await find('team=web')).toEqual(['alice/shop:newest team=web'])
})

test('label search: annotations count as labels, also of artifacts and of images without a tag', async () => {
  await push('alice/notes', { note: 'of the config' }, undefined, {
    annotations: { mark: 'of the manifest' },
  })
  expect(await find('mark')).toEqual(['alice/notes:null mark=of the manifest'])
  expect(await find('note')).toEqual(['alice/notes:null note=of the config'])
})

test('label search: an index is found by the labels that all its images have', async () => {
  const admin = server.as(basic('admin'))
  const one = await push('alice/multi', { shared: 'yes', os: 'linux' })
  const two = await push('alice/multi', { shared: 'yes', os: 'windows' })
  const index = imageIndex([descriptor(one, OCI_MANIFEST), descriptor(two, OCI_MANIFEST)])
  await pushManifest(admin, 'alice/multi', index, { reference: 'all', type: OCI_INDEX })
  expect((await search('shared')).items.map(({ digest }) => digest)).toEqual([
    index.digest,
    two.digest,
    one.digest,
  ])
  expect(await find('os=')).toEqual(['alice/multi:null os=windows', 'alice/multi:null os=linux'])
})

test('label search: nobody finds the labels of what they may not pull', async () => {
  await push('alice/secret', { secret: 'plan' }, '1')
  await push('bob/secret', { secret: 'plan' }, '1')
  expect(await find('secret')).toEqual(['alice/secret:1 secret=plan', 'bob/secret:1 secret=plan'])
  expect(await find('secret', 'bob')).toEqual(['bob/secret:1 secret=plan'])
  await server.grant('bob', 'alice/secret', 'reader')
  expect(await find('secret', 'bob')).toHaveLength(2)
})

test('label search: deleted manifests and repositories are not found until they are restored', async () => {
  const { digest } = await push('old/app', { fate: 'deleted' }, '1')
  const path = `/repositories/old%2Fapp/manifests/${digest}`
  await server.admin('DELETE', path)
  expect(await find('fate')).toEqual([])
  await server.admin('POST', `${path}/restore`)
  expect(await find('fate')).toEqual(['old/app:1 fate=deleted'])
  await server.admin('DELETE', '/repositories/old%2Fapp')
  expect(await find('fate')).toEqual([])
})

test('label search: an expired tag is not shown with its manifest', async () => {
  await push('brief/app', { 'quay.expires-after': '1s', span: 'brief' }, 'soon')
  expect(await find('span')).toEqual(['brief/app:soon span=brief'])
  clock += 2000
  expect(await find('span')).toEqual(['brief/app:null span=brief'])
})

test('label search: a repository shows its three newest manifests, and the results end at ten', async () => {
  for (let i = 0; i < 4; i++) await push('many/app', { many: 'x', i: `${i}` }, `v${i}`)
  expect(await find('many=x')).toEqual(['many/app:v3 many=x', 'many/app:v2 many=x', 'many/app:v1 many=x'])
  expect((await search('many=x')).truncated).toBe(true)
  for (let i = 0; i < 10; i++) await push(`many/app-${i}`, { many: 'x', i: `${i}` }, '1')
  const { items, truncated } = await search('many')
  expect([items.length, truncated]).toEqual([10, true])
})

test('label search: a manifest that matches with several labels is one result', async () => {
  await push('twice/app', { 'twice.a': '1', 'twice.b': '2' }, '1')
  expect(await find('twice')).toEqual(['twice/app:1 twice.b=2'])
})

test('label search: long and hostile labels are cut, and the first of many are kept', async () => {
  const long = 'é'.repeat(300)
  await push('hostile/app', { long, line: 'one\ntwo', '': 'no name', number: 7, html: '<b>&\u202e' }, '1')
  expect((await search(`long=${long}`)).items.map(({ label }) => label)).toEqual([`long=${'é'.repeat(97)}`])
  expect(await find('line=')).toEqual(['hostile/app:1 line=one'])
  expect(await find('=no')).toEqual([])
  expect(await find('html=<b>&')).toEqual(['hostile/app:1 html=<b>&\u202e'])
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`crowd-${i}.`, 'x']))
  await push('crowd/app', many, '1')
  expect(await find('crowd-31.')).toHaveLength(1)
  expect(await find('crowd-32.')).toEqual([])
  const wide = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`wide-${i}.`, 'x'.repeat(180)]))
  await push('wide/app', wide, '1')
  expect(await find('wide-9.')).toHaveLength(1)
  expect(await find('wide-12.')).toEqual([])
})

test('label search: annotations of a manifest that is read in another thread are found', async () => {
  const annotations = { first: 'of a large manifest', filler: 'x'.repeat(100_000) }
  await push('large/app', {}, '1', { annotations })
  expect(await find('first=of a large')).toEqual(['large/app:1 first=of a large manifest'])
})

test('label search: pushing a manifest again adds nothing twice', async () => {
  await push('again/app', { again: 'yes' }, '1')
  await push('again/app', { again: 'yes' }, '2')
  expect(await find('again')).toHaveLength(1)
})

test('label search: an empty config, and a config that is not JSON, have no labels', async () => {
  const admin = server.as(basic('admin'))
  const broken = named('{"config": {"Labels": {"broken": "yes"')
  await pushBlob(admin, 'broken/app', broken)
  await pushImage(admin, 'broken/app', imageManifest(broken, [layer]), [layer], { reference: '1' })
  await pushImage(admin, 'broken/app', imageManifest(EMPTY, [layer]), [layer], { reference: '2' })
  expect(await find('broken')).toEqual([])
})
