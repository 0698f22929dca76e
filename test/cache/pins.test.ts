import { describe, expect, test } from 'bun:test'
import { descriptor, imageIndex, OCI_INDEX, OCI_MANIFEST } from '../support/content.ts'
import { startSmall } from '../support/small-cache.ts'

type World = Awaited<ReturnType<typeof startSmall>>

const putPin = ({ cache }: World, pin: { pattern: string; reference: string }) =>
  cache.server.fetch('/api/v1/pins', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(pin),
  })

const deletePin = ({ cache }: World, pin: { pattern: string; reference: string }) =>
  cache.server.fetch(`/api/v1/pins?${new URLSearchParams(pin)}`, { method: 'DELETE' })

/** Pulls more images than fit beside a pinned one. */
async function pullOthers({ pull }: World) {
  for (const tag of ['2', '3', '4', '2', '3']) await pull(tag)
}

describe('cache: an image is kept, until the pin is removed, by a pin', () => {
  const pins: [what: string, pin: (digest: string) => { pattern: string; reference: string }][] = [
    ['of its tag', () => ({ pattern: 'up.example/**', reference: '1' })],
    ['of its digest', (digest) => ({ pattern: 'up.example/library/pinned', reference: digest })],
    ['of its whole repository', () => ({ pattern: 'up.example/library/pinned', reference: '' })],
  ]
  test.each(pins)('%s', async (_, pinOf) => {
    await using world = await startSmall()
    const { cache, pull, fetched } = world
    const { manifest } = cache.fake.putImage('library/pinned', '1', [400_000])
    for (const tag of ['2', '3', '4']) cache.fake.putImage('library/app', tag, [400_000])
    const pin = pinOf(manifest.digest)
    await pull('1', { repository: 'library/pinned' })
    expect((await putPin(world, pin)).status).toBe(201)
    await pullOthers(world)
    const before = fetched()
    await pull('1', { repository: 'library/pinned' })
    expect(fetched()).toBe(before)
    expect((await deletePin(world, pin)).status).toBe(204)
    expect((await deletePin(world, pin)).status).toBe(404)
    await pullOthers(world)
    const after = fetched()
    await pull('1', { repository: 'library/pinned' })
    expect(fetched()).toBe(after + 2)
  })
})

test('cache: a pin of an index keeps the image of it that is pulled', async () => {
  await using world = await startSmall()
  const { cache, pull, fetched } = world
  const { manifest } = cache.fake.putImage('library/pinned', 'child', [400_000])
  const index = imageIndex([descriptor(manifest, OCI_MANIFEST)])
  cache.fake.putManifest('library/pinned', '1', index, OCI_INDEX)
  for (const tag of ['2', '3', '4']) cache.fake.putImage('library/app', tag, [400_000])
  expect((await putPin(world, { pattern: 'up.example/library/pinned', reference: '1' })).status).toBe(201)
  expect((await cache.server.fetch('/v2/up.example/library/pinned/manifests/1')).status).toBe(200)
  await pull(manifest.digest, { repository: 'library/pinned' })
  await pullOthers(world)
  const before = fetched()
  await pull(manifest.digest, { repository: 'library/pinned' })
  expect(fetched()).toBe(before)
})
