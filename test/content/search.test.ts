import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, named } from '../support/content.ts'
import { pushImage } from '../support/push.ts'

interface Group {
  items: { repository: string; name: string; digest: string }[]
  truncated: boolean
}
type Found = Record<'repositories' | 'tags' | 'manifests', Group>

let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
const layer = named('a layer')
const first = imageManifest(EMPTY, [layer], { annotations: { is: 'first' } })
const second = imageManifest(EMPTY, [layer], { annotations: { is: 'second' } })

const push = (repository: string, reference: string, manifest = first) =>
  pushImage(server.as(basic('admin')), repository, manifest, [layer], { reference })

async function find(q: string, account = 'admin') {
  const response = await server.as(basic(account)).fetch(`/api/v1/search?q=${encodeURIComponent(q)}`)
  expect(response.status).toBe(200)
  const { repositories, tags, manifests } = (await response.json()) as Found
  return {
    repositories: repositories.items.map(({ name }) => name),
    tags: tags.items.map(({ repository, name }) => `${repository}:${name}`),
    manifests: manifests.items.map(({ repository, digest }) => `${repository}@${digest}`),
    truncated: [repositories, tags, manifests].map(({ truncated }) => truncated),
  }
}

beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock })
  for (const name of ['alice', 'bob']) await server.addUser(name)
  for (const repository of ['alice/web', 'bob/web', 'shop/api']) await push(repository, '1.0')
  await push('alice/web', '1.1', second)
}, 60_000)
afterAll(() => server.stop())

test('search: repositories are found by part of the name, tags by their beginning, digests by a prefix', async () => {
  expect(await find('web')).toMatchObject({ repositories: ['alice/web', 'bob/web'], tags: [], manifests: [] })
  expect((await find('1.')).tags).toEqual(['alice/web:1.0', 'alice/web:1.1', 'bob/web:1.0', 'shop/api:1.0'])
  expect((await find('web:1.0')).tags).toEqual(['alice/web:1.0', 'bob/web:1.0'])
  expect((await find('.0')).tags).toEqual([])
  const { digest } = second
  const only = [`alice/web@${digest}`]
  for (const q of [digest, digest.slice(0, 20), digest.slice(7, 13), digest.slice(7, 14).toUpperCase()])
    expect((await find(q)).manifests).toEqual(only)
  expect((await find(digest.slice(7, 12))).manifests).toEqual([])
  const { tags } = await server.admin<Found>('GET', '/search?q=1.1')
  expect(tags).toEqual({
    items: [{ repository: 'alice/web', name: '1.1', digest, kind: 'Container image' }] as never,
    truncated: false,
  })
})

test('search: nobody finds what they may not pull', async () => {
  expect(await find('1.', 'bob')).toMatchObject({ tags: ['bob/web:1.0'] })
  expect(await find('web', 'bob')).toMatchObject({ repositories: ['bob/web'] })
  expect(await find(first.digest, 'bob')).toMatchObject({ manifests: [`bob/web@${first.digest}`] })
  expect(await find(second.digest, 'bob')).toMatchObject({ manifests: [] })
  expect((await server.as(undefined).fetch('/api/v1/search?q=web')).status).toBe(401)
  await server.grant('bob', 'shop/*', 'reader')
  expect((await find('1.', 'bob')).tags).toEqual(['bob/web:1.0', 'shop/api:1.0'])
})

test('search: what is deleted or has expired is not found', async () => {
  const fleeting = imageManifest(EMPTY, [layer], { annotations: { is: 'fleeting' } })
  await push('old/app', 'old-1', fleeting)
  await push('old/app', 'old-2')
  await push('old/gone', 'old-3')
  expect((await find('old-')).tags).toEqual(['old/app:old-1', 'old/app:old-2', 'old/gone:old-3'])
  await server.admin('DELETE', '/repositories/old%2Fgone')
  const expiresAt = new Date(clock + 1000).toISOString()
  await server.admin('PATCH', '/repositories/old%2Fapp/tags/old-2', { expiresAt })
  clock += 2000
  expect(await find('old')).toMatchObject({ repositories: ['old/app'], tags: ['old/app:old-1'] })
  expect((await find(fleeting.digest)).manifests).toHaveLength(1)
  await server.admin('DELETE', `/repositories/old%2Fapp/manifests/${fleeting.digest}`)
  expect(await find(fleeting.digest)).toMatchObject({ tags: [], manifests: [] })
  expect((await find('old-')).tags).toEqual([])
})

test('search: each kind has at most ten results, and says when there may be more', async () => {
  for (let i = 0; i < 12; i++) await push(`many/app-${i}`, 'release-1', second)
  const found = await find('many')
  expect(found.repositories).toHaveLength(10)
  expect(found.truncated).toEqual([true, false, false])
  expect((await find('release-')).tags).toHaveLength(10)
  expect((await find('release-')).truncated).toEqual([false, true, false])
  expect((await find(second.digest)).manifests).toHaveLength(10)
  expect((await find(second.digest)).truncated).toEqual([false, false, true])
  expect((await find('nothing')).truncated).toEqual([false, false, false])
})

test('search: one repository has at most three tags in the results', async () => {
  for (const tag of ['nightly-1', 'nightly-2', 'nightly-3', 'nightly-4']) await push('nightly/a', tag)
  await push('nightly/b', 'nightly-9')
  const tags = ['nightly/a:nightly-1', 'nightly/a:nightly-2', 'nightly/a:nightly-3', 'nightly/b:nightly-9']
  expect(await find('nightly-')).toMatchObject({ tags, truncated: [false, true, false] })
  expect((await find('nightly-4')).truncated).toEqual([false, false, false])
})

test('search: any text is answered', async () => {
  for (const q of ['%', '"', "'", ':', 'a:', ':a', 'sha256:', 'sha512:abcdef', 'a'.repeat(400), '日本', '-1'])
    await find(q)
  for (const q of ['', 'a'.repeat(401)])
    expect((await server.as(basic('admin')).fetch(`/api/v1/search?q=${q}`)).status).toBe(400)
})
