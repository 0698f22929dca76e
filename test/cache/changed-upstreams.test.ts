import { describe, expect, test } from 'bun:test'
import { startCache, type TestCache } from '../support/cache.ts'
import { EMPTY, imageManifest, OCI_MANIFEST, randomBlob } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { until } from '../support/until.ts'
import { FakeUpstream, head } from '../support/upstream.ts'

const SIZE = 200_000

function change(cache: TestCache, method: 'PUT' | 'DELETE', url?: string): Promise<Response> {
  return cache.server.fetch('/api/v1/upstreams/b.example', {
    method,
    ...(url && { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ url }) }),
  })
}

async function cachedBytes(cache: TestCache): Promise<number> {
  return ((await (await cache.server.fetch('/api/v1/cache')).json()) as { bytes: number }).bytes
}

describe('upstreams: a name that becomes an upstream while', () => {
  const layer = randomBlob(4_000_000)

  test('a blob is pushed below it refuses the blob, and keeps no bytes of it', async () => {
    await using cache = await startCache()
    const { server } = cache
    const gate = Promise.withResolvers<void>()
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(layer.bytes.slice(0, 2_000_000))
        await gate.promise
        controller.enqueue(layer.bytes.slice(2_000_000))
        controller.close()
      },
    })
    const pushed = server.fetch(`/v2/b.example/app/blobs/uploads/?digest=${layer.digest}`, {
      method: 'POST',
      body,
    })
    const uploads = async () =>
      ((await (await server.fetch('/api/v1/uploads')).json()) as { items: unknown[] }).items.length
    await until(async () => (await uploads()) === 1)
    expect((await change(cache, 'PUT', cache.fake.url)).status).toBe(201)
    gate.resolve()
    const refused = await pushed
    expect([refused.status, await refused.text()]).toEqual([405, expect.stringContaining('b.example')])
    const stored = `${server.data}/blobs/sha256/${layer.digest.slice(7, 9)}/${layer.digest.slice(7)}`
    expect(await Bun.file(stored).exists()).toBe(false)
    await cache.restart()
    cache.fake.putImage('app', '1')
    expect((await cache.server.fetch('/v2/b.example/app/manifests/1')).status).toBe(200)
  })
})

describe('upstreams: a repository that becomes local while', () => {
  /** A cache of an image of an upstream, which is removed and pushed to while `GET suffix` is answered. */
  async function removeDuring(suffix: (image: ReturnType<FakeUpstream['putImage']>) => string) {
    const resources = new AsyncDisposableStack()
    const cache = resources.use(await startCache())
    const fake = resources.use(await FakeUpstream.start())
    const image = fake.putImage('app', '1', [SIZE])
    expect((await change(cache, 'PUT', fake.url)).status).toBe(201)
    const get = (name: string) => cache.server.fetch(`/v2/b.example/app/${name}`)
    const path = suffix(image)
    if (path.startsWith('blobs')) await get('manifests/1')
    const { bytes } = fake.content.get(`/v2/app/${path}`)!
    const gate = Promise.withResolvers<void>()
    const headers = { 'content-type': OCI_MANIFEST, 'content-length': String(bytes.length) }
    const half = bytes.length >> 1
    fake.on(new RegExp(`^GET .*${path}`), () => [
      head(200, headers),
      bytes.subarray(0, half),
      gate.promise,
      bytes.subarray(half),
    ])
    const asked = get(path)
    await until(() => fake.requests(new RegExp(`^GET .*${path}`)).length === 1)
    expect((await change(cache, 'DELETE')).status).toBe(204)
    const mine = await pushImage(cache.server, 'b.example/app', imageManifest(EMPTY, []), [EMPTY], {
      reference: 'mine',
    })
    const before = await cachedBytes(cache)
    gate.resolve()
    const response = await asked
    await response.bytes().catch(() => {})
    return {
      cache,
      get,
      image,
      mine,
      before,
      response,
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    }
  }

  test('a manifest is fetched gets no cached manifest', async () => {
    await using removed = await removeDuring(() => 'manifests/1')
    const { cache, get, mine, before } = removed
    expect(removed.response.status).toBe(404)
    expect(await cachedBytes(cache)).toBe(before)
    expect((await get('manifests/1')).status).toBe(404)
    const sent = await get('manifests/mine')
    expect(Buffer.from(await sent.bytes()).equals(mine.bytes)).toBe(true)
    expect((await change(cache, 'PUT', cache.fake.url)).status).toBe(409)
  })

  test('a blob is fetched gets no cached blob', async () => {
    await using removed = await removeDuring(({ layer }) => `blobs/${layer.digest}`)
    const { cache, get, image, before } = removed
    expect(await cachedBytes(cache)).toBe(before)
    expect((await get(`blobs/${image.layer.digest}`)).status).toBe(404)
  })
})
