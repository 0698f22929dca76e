import { describe, expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { imageManifest, named, randomBlob } from '../support/content.ts'
import { head, reply } from '../support/upstream.ts'

test('cache: an image is fetched once, then served without the upstream', async () => {
  await using cache = await startCache()
  const { manifest, config, layer } = cache.fake.putImage('library/app', '1', [300_000])
  for (let pulls = 0; pulls < 2; pulls++) {
    const pulled = await cache.get('manifests/1')
    expect(pulled.status).toBe(200)
    expect(pulled.headers.get('docker-content-digest')).toBe(manifest.digest)
    expect(Buffer.from(await pulled.bytes()).equals(manifest.bytes)).toBe(true)
    for (const blob of [config, layer]) {
      const response = await cache.get(`blobs/${blob.digest}`)
      expect(response.status).toBe(200)
      expect(Buffer.from(await response.bytes()).equals(blob.bytes)).toBe(true)
    }
  }
  expect(cache.fake.requests(/^GET .*manifests/)).toHaveLength(1)
  expect(cache.fake.requests(/^GET .*blobs/)).toHaveLength(2)
  await cache.fake.stop()
  await cache.restart()
  expect((await cache.get(`manifests/${manifest.digest}`)).status).toBe(200)
  const again = await cache.get(`blobs/${layer.digest}`)
  expect(again.headers.get('content-length')).toBe('300000')
  expect(Buffer.from(await again.bytes()).equals(layer.bytes)).toBe(true)
})

test('cache: many clients share one fetch, also for ranges, and get all but the last byte early', async () => {
  await using cache = await startCache()
  const { fake } = cache
  const blob = randomBlob(900_000)
  fake.putBlob('library/app', blob)
  const gate = Promise.withResolvers<void>()
  const answer = [
    head(200, { 'content-length': '900000' }),
    blob.bytes.subarray(0, 400_000),
    gate.promise,
    blob.bytes.subarray(400_000),
  ]
  fake.on(/^GET .*blobs/, answer)
  const clients = await Promise.all([0, 1, 2, 3].map(() => cache.get(`blobs/${blob.digest}`)))
  const far = cache.get(`blobs/${blob.digest}`, { headers: { range: 'bytes=700000-' } })
  const first = await readSome(clients[0]!, 400_000)
  gate.resolve()
  const ranged = await far
  expect(ranged.status).toBe(206)
  expect(ranged.headers.get('content-range')).toBe('bytes 700000-899999/900000')
  expect(Buffer.from(await first.rest()).equals(blob.bytes)).toBe(true)
  for (const client of clients.slice(1)) {
    expect(Buffer.from(await client.bytes()).equals(blob.bytes)).toBe(true)
  }
  expect(Buffer.from(await ranged.bytes()).equals(blob.bytes.subarray(700_000))).toBe(true)
  expect(fake.requests(/^GET .*blobs/).map(({ headers }) => headers.range)).toEqual([undefined])
})

test('cache: a blob of a large manifest is served, with its size from the upstream', async () => {
  await using cache = await startCache()
  const { fake } = cache
  const { config, layer, layers } = fake.putImage('library/app', 'small', [200_000])
  const annotations = { text: 'x'.repeat(300_000) }
  fake.putManifest('library/app', 'large', imageManifest(config, layers, { annotations }))
  await cache.get('manifests/large')
  const response = await cache.get(`blobs/${layer.digest}`)
  expect(Buffer.from(await response.bytes()).equals(layer.bytes)).toBe(true)
  expect(fake.requests(/^HEAD .*blobs/)).toHaveLength(1)
})

describe('cache: a download that breaks', () => {
  const blob = randomBlob(500_000)
  const part = (then: Promise<unknown>, end: 'fin' | 'reset') => [
    head(200, { 'content-length': '500000' }),
    blob.bytes.subarray(0, 200_000),
    then,
    end,
  ]

  test.each(['fin', 'reset'] as const)(
    'by %s resumes at its byte, and the client does not notice',
    async (end) => {
      await using cache = await startCache()
      cache.fake.putBlob('library/app', blob)
      const gate = Promise.withResolvers<void>()
      cache.fake.on(/^GET .*blobs/, () => part(gate.promise, end), 1)
      const response = await cache.get(`blobs/${blob.digest}`)
      const received = await readSome(response, 200_000)
      gate.resolve()
      expect(Buffer.from(await received.rest()).equals(blob.bytes)).toBe(true)
      const ranges = cache.fake.requests(/^GET .*blobs/).map(({ headers }) => headers.range)
      expect(ranges[0]).toBeUndefined()
      expect(ranges[1]).toBe('bytes=200000-')
      expect(ranges).toHaveLength(2)
    },
  )

  test('continues if the upstream does not support ranges', async () => {
    await using cache = await startCache()
    cache.fake.on(/^GET .*blobs/, () => reply(200, {}, blob.bytes))
    const gate = Promise.withResolvers<void>()
    cache.fake.on(/^GET .*blobs/, () => part(gate.promise, 'reset'), 1)
    cache.fake.on(/^HEAD .*blobs/, () => reply(200, {}, blob.bytes, true))
    const received = await readSome(await cache.get(`blobs/${blob.digest}`), 200_000)
    gate.resolve()
    expect(Buffer.from(await received.rest()).equals(blob.bytes)).toBe(true)
  })

  test('continues after a restart, at the next request', async () => {
    await using cache = await startCache({ settings: { 'shutdown.seconds-max': '0' } })
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^GET .*blobs/, () => part(new Promise(() => {}), 'fin'), 1)
    await readSome(await cache.get(`blobs/${blob.digest}`), 200_000)
    await cache.restart()
    const again = await cache.get(`blobs/${blob.digest}`)
    expect(Buffer.from(await again.bytes()).equals(blob.bytes)).toBe(true)
    expect(cache.fake.requests(/^GET .*blobs/).at(-1)?.headers.range).toBe('bytes=200000-')
  })
})

describe('cache: an upstream that lies', () => {
  const blob = randomBlob(300_000)
  const wrong = randomBlob(300_000)

  test('about the bytes: the connections of clients are cut, and nothing is published', async () => {
    await using cache = await startCache()
    cache.fake.putBlob('library/app', blob)
    const gate = Promise.withResolvers<void>()
    cache.fake.on(
      /^GET .*blobs/,
      () => [
        head(200, { 'content-length': '300000' }),
        wrong.bytes.subarray(0, 200_000),
        gate.promise,
        wrong.bytes.subarray(200_000),
      ],
      1,
    )
    const response = await cache.get(`blobs/${blob.digest}`)
    expect(response.status).toBe(200)
    gate.resolve()
    expect(await response.bytes().catch(() => 'cut')).toBe('cut')
    const again = await cache.get(`blobs/${blob.digest}`)
    expect(Buffer.from(await again.bytes()).equals(blob.bytes)).toBe(true)
  })

  test('about the size: the response is an error before the first byte', async () => {
    await using cache = await startCache()
    const image = cache.fake.putImage('library/app', '1', [200_000])
    await cache.get('manifests/1')
    cache.fake.on(/^GET .*blobs/, () => reply(200, {}, named('<html>go away</html>').bytes))
    const response = await cache.get(`blobs/${image.layer.digest}`)
    expect(response.status).toBe(502)
  })

  test('about a manifest: the response is 502', async () => {
    await using cache = await startCache()
    const { manifest } = cache.fake.putImage('library/app', '1')
    cache.fake.on(/manifests/, () =>
      reply(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }, '{"schemaVersion":2}'),
    )
    expect((await cache.get(`manifests/${manifest.digest}`)).status).toBe(502)
  })
})

test.each([
  [404, 404, 'MANIFEST_UNKNOWN'],
  [401, 403, 'DENIED'],
  [403, 403, 'DENIED'],
  [429, 429, 'TOOMANYREQUESTS'],
  [500, 503, 'UNAVAILABLE'],
  [503, 503, 'UNAVAILABLE'],
])('cache: what is not here, and is %d at the upstream, is %d here', async (status, expected, code) => {
  await using cache = await startCache()
  cache.fake.on(/manifests|blobs/, () => reply(status, {}, ''))
  const response = await cache.get('manifests/1')
  expect(response.status).toBe(expected)
  expect(((await response.json()) as { errors: { code: string }[] }).errors[0]?.code).toBe(code)
  const blob = await cache.get(`blobs/${named('x').digest}`)
  expect(blob.status).toBe(expected)
})

test('cache: pushes to the name of an upstream are refused', async () => {
  await using cache = await startCache()
  const started = await cache.get('blobs/uploads/', { method: 'POST' })
  expect(started.status).toBe(405)
  const put = await cache.get('manifests/1', { method: 'PUT', body: '{"schemaVersion":2}' })
  expect(put.status).toBe(405)
})

test('cache: an upload that began before its name became that of an upstream cannot be completed', async () => {
  await using cache = await startCache()
  const begin = async () => {
    const path = '/v2/new.example/app/blobs/uploads/'
    return (await cache.server.fetch(path, { method: 'POST' })).headers.get('location') ?? ''
  }
  const [first, second] = [await begin(), await begin()]
  const added = await cache.server.fetch('/api/v1/upstreams/new.example', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ url: cache.fake.url }),
  })
  expect(added.status).toBe(201)
  const { digest, bytes: body } = randomBlob(1000)
  expect((await cache.server.fetch(first, { method: 'PATCH', body })).status).toBe(405)
  const closed = await cache.server.fetch(`${second}?digest=${digest}`, { method: 'PUT', body })
  expect(closed.status).toBe(405)
  await cache.restart()
  expect((await cache.server.fetch('/api/v1/upstreams/new.example')).status).toBe(200)
})

/** Reads a body until it has this many bytes. `rest` returns the complete body. */
async function readSome(response: Response, bytes: number) {
  const reader = response.body!.getReader()
  const parts: Uint8Array[] = []
  let got = 0
  const read = async () => {
    const { value } = await reader.read()
    if (value !== undefined) parts.push(value)
    got += value?.length ?? 0
    return value !== undefined
  }
  while (got < bytes && (await read()));
  return {
    async rest() {
      while (await read());
      return Buffer.concat(parts)
    },
  }
}
