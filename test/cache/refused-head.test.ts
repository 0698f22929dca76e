import { describe, expect, test } from 'bun:test'
import { createServer } from 'node:net'
import { parseDigest } from '../../src/oci/reference.ts'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { FakeUpstream, head, reply } from '../support/upstream.ts'
import { kindOf, NAME, open, TAG } from '../support/upstream-client.ts'

const blob = randomBlob(100_000)
const DIGEST = parseDigest(blob.digest)
const REFUSALS = [403, 405, 501]
const time = { deadlineMs: 5000 }

describe('cache: an upstream that refuses HEAD', () => {
  test.each(REFUSALS)('with %d is asked for the size of a blob by GET', async (status) => {
    await using cache = await startCache()
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^HEAD/, () => reply(status, {}, '', true))
    const response = await cache.get(`blobs/${blob.digest}`, { method: 'HEAD' })
    expect([response.status, response.headers.get('content-length')]).toEqual([200, '100000'])
    expect(Buffer.from(await (await cache.get(`blobs/${blob.digest}`)).bytes()).equals(blob.bytes)).toBe(true)
  })

  test.each(REFUSALS)('with %d is asked for a tag by GET', async (status) => {
    let now = Date.UTC(2026, 0, 1)
    await using cache = await startCache({ now: () => now })
    cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    const { manifest } = cache.fake.putImage('library/app', '1')
    cache.fake.on(/^HEAD/, () => reply(status, {}, '', true))
    now += 10_000_000
    const response = await cache.get('manifests/1')
    expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
    expect(response.headers.has('warning')).toBe(false)
  })
})

describe('upstream: HEAD that is refused', () => {
  test('where a redirect leads is repeated as GET', async () => {
    await using fake = await FakeUpstream.start()
    await using storage = await FakeUpstream.start()
    fake.on(/blobs/, () => reply(307, { location: `${storage.url}/blob` }, ''))
    storage.on(/^HEAD/, () => reply(403, {}, '', true))
    storage.content.set('/blob', { bytes: blob.bytes, headers: {} })
    expect(await open(fake).upstream.getBlobSize(NAME, DIGEST, 5000)).toBe(100_000)
  })

  test('does not make a mirror decide what a tag is', async () => {
    await using fake = await FakeUpstream.start()
    await using mirror = await FakeUpstream.start()
    mirror.putImage('library/app', '1')
    fake.on(/^HEAD/, () => reply(405, {}, '', true))
    const { upstream } = open(fake, { urls: [new URL(fake.url), new URL(mirror.url)] })
    expect(await upstream.checkTag(NAME, TAG, time)).toBeUndefined()
    expect(mirror.log).toEqual([])
  })

  test('with 403 is a refusal when GET is refused, too', async () => {
    await using fake = await FakeUpstream.start()
    fake.on(/./, () => reply(403, {}, ''))
    expect(await kindOf(open(fake).upstream.getBlobSize(NAME, DIGEST, 5000))).toBe('denied')
  })

  test('reads only the headers of the GET', async () => {
    const closed = Promise.withResolvers<void>()
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (data) => {
        if (data.toString().startsWith('HEAD')) return socket.write(head(405, { 'content-length': '0' }))
        socket.on('close', closed.resolve)
        return socket.write(`${head(200, { 'content-length': '1000000' })}x`)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`
    const size = await open({ url }).upstream.getBlobSize(NAME, DIGEST, 5000)
    expect(size).toBe(1_000_000)
    await closed.promise
    server.close()
  })
})
