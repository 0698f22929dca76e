import { expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type CacheOptions, startCache } from '../support/cache.ts'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { until } from '../support/until.ts'
import { FakeUpstream, head } from '../support/upstream.ts'

const SIZE = 200_000

/** A cache of `up.example` and `b.example`, whose images have the same layer. */
async function startTwo(layer: Named, { upstream = '', ...options }: CacheOptions = {}) {
  const resources = new AsyncDisposableStack()
  const other = resources.use(await FakeUpstream.start())
  const second = `[[upstream]]\nname = "b.example"\nurl = "${other.url}"`
  const cache = resources.use(await startCache({ ...options, upstream: `${upstream}\n${second}` }))
  for (const fake of [cache.fake, other]) {
    fake.putManifest('library/app', '1', imageManifest(EMPTY, [layer]))
    fake.putBlob('library/app', layer)
  }
  const fromOther = (suffix: string) => cache.server.fetch(`/v2/b.example/library/app/${suffix}`)
  for (const response of [await cache.get('manifests/1'), await fromOther('manifests/1')]) {
    expect(response.status).toBe(200)
  }
  const downloads = async () => {
    const response = await cache.server.fetch('/api/v1/cache/downloads')
    return ((await response.json()) as { items: { receivedBytes: number }[] }).items
  }
  return { cache, other, fromOther, downloads, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/** A body whose bytes all come, but whose end does not. */
const endless = (bytes: Uint8Array, end: Promise<unknown>) => [
  head(200, { 'transfer-encoding': 'chunked' }),
  `${bytes.length.toString(16)}\r\n`,
  bytes,
  '\r\n',
  end,
]

test.each([
  ['a private', 'private = true'],
  ['another', ''],
])(
  'cache: bytes of %s upstream that a restart left behind are not published for another',
  async (_, upstream) => {
    const layer = randomBlob(SIZE)
    await using two = await startTwo(layer, { upstream })
    const { cache, other, fromOther, downloads } = two
    const end = Promise.withResolvers<void>()
    cache.fake.on(/^GET .*blobs/, () => endless(layer.bytes, end.promise))
    const first = await cache.get(`blobs/${layer.digest}`)
    await until(async () => (await downloads())[0]?.receivedBytes === SIZE)
    await first.body?.cancel()
    await cache.restart()
    end.resolve()
    other.content.delete(`/v2/library/app/blobs/${layer.digest}`)
    expect((await fromOther(`blobs/${layer.digest}`)).status).toBe(404)
    cache.fake.heal()
    const again = await cache.get(`blobs/${layer.digest}`)
    expect(Buffer.from(await again.bytes()).equals(layer.bytes)).toBe(true)
    expect(cache.fake.requests(/^GET .*blobs/)).toHaveLength(1)
  },
)

test('cache: a download in progress is not shared with an upstream that does not have the blob', async () => {
  const layer = randomBlob(SIZE)
  await using two = await startTwo(layer)
  const { cache, other, fromOther } = two
  const end = Promise.withResolvers<void>()
  cache.fake.on(/^GET .*blobs/, () => endless(layer.bytes, end.promise))
  const first = await cache.get(`blobs/${layer.digest}`)
  other.content.delete(`/v2/library/app/blobs/${layer.digest}`)
  expect((await fromOther(`blobs/${layer.digest}`)).status).toBe(404)
  end.resolve()
  await first.body?.cancel()
})

test('cache: a download in progress of a private upstream is not shared with another upstream', async () => {
  const layer = randomBlob(SIZE)
  await using two = await startTwo(layer, { upstream: 'private = true' })
  const { cache, other, fromOther } = two
  const end = Promise.withResolvers<void>()
  cache.fake.on(/^GET .*blobs/, () => endless(layer.bytes, end.promise))
  const first = await cache.get(`blobs/${layer.digest}`)
  const response = await fromOther(`blobs/${layer.digest}`)
  expect(Buffer.from(await response.bytes()).equals(layer.bytes)).toBe(true)
  expect(other.requests(/^GET .*blobs/)).toHaveLength(1)
  end.resolve()
  await first.body?.cancel()
})

test('cache: a partial blob of an older data folder, whose upstream is unknown, is fetched again', async () => {
  const layer = randomBlob(SIZE)
  await using folder = await temporaryFolder('cache')
  const partial = join(folder.path, 'uploads', `${layer.digest.slice('sha256:'.length)}.sha256`)
  await mkdir(join(folder.path, 'uploads'))
  await Bun.write(partial, layer.bytes)
  await using two = await startTwo(layer, { data: folder.path })
  expect(await Bun.file(partial).exists()).toBe(false)
  const response = await two.cache.get(`blobs/${layer.digest}`)
  expect(Buffer.from(await response.bytes()).equals(layer.bytes)).toBe(true)
  expect(two.cache.fake.requests(/^GET .*blobs/)).toHaveLength(1)
})
