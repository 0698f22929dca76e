import { expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { named } from '../support/content.ts'
import { reply } from '../support/upstream.ts'

test.each([
  ['a page', '<html>sign in</html>'],
  ['a document without tags', '{"errors":[]}'],
  ['a number', '1'],
])(
  'cache: %s instead of the list of tags gives 502, or the cached tags if there are some',
  async (_, body) => {
    await using cache = await startCache()
    cache.fake.putImage('library/app', '1')
    cache.fake.on(/tags\/list/, () => reply(200, {}, body))
    expect((await cache.get('tags/list')).status).toBe(502)
    await cache.get('manifests/1')
    expect(await (await cache.get('tags/list')).json()).toMatchObject({ tags: ['1'] })
  },
)

test('cache: lists of referrers are remembered within a limit of bytes', async () => {
  await using cache = await startCache()
  const padding = 'x'.repeat(4_000_000)
  const referrer = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: named('r').digest,
    size: 1,
  }
  const index = JSON.stringify({ schemaVersion: 2, manifests: [{ ...referrer, annotations: { padding } }] })
  cache.fake.on(/referrers/, () =>
    reply(200, { 'content-type': 'application/vnd.oci.image.index.v1+json' }, index),
  )
  const subjects = ['a', 'b', 'c', 'd', 'e', 'f'].map((text) => named(text).digest)
  const ask = async (subject: string) => {
    const response = await cache.get(`referrers/${subject}`)
    expect(((await response.json()) as { manifests: unknown[] }).manifests).toHaveLength(1)
  }
  for (const subject of subjects) await ask(subject)
  expect(cache.fake.requests(/referrers/)).toHaveLength(6)
  await ask(subjects.at(-1) ?? '')
  expect(cache.fake.requests(/referrers/)).toHaveLength(6)
  await ask(subjects[0] ?? '')
  expect(cache.fake.requests(/referrers/)).toHaveLength(7)
})

test('cache: a token that is too long for a header gives 502, and is not remembered', async () => {
  await using cache = await startCache()
  const { fake } = cache
  fake.putImage('library/app', '1')
  fake.auth = { header: 'Bearer short', challenge: `Bearer realm="${fake.url}/token"` }
  fake.on(/\/token/, () => reply(200, {}, JSON.stringify({ token: 'short' })))
  fake.on(/\/token/, () => reply(200, {}, JSON.stringify({ token: 'x'.repeat(100_000) })), 1)
  expect((await cache.get('manifests/1')).status).toBe(502)
  expect((await cache.get('manifests/1')).status).toBe(200)
})
