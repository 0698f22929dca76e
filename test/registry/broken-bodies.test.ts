import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { digestOf, EMPTY, imageManifest, OCI_MANIFEST, randomBlob } from '../support/content.ts'
import { pushBlob, startUpload } from '../support/push.ts'
import { beginRequest } from '../support/raw-request.ts'
import { SERVERS, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

for (const [kind, start] of SERVERS) {
  describe(`an incomplete body, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start({ settings: { 'uploads.stall-seconds-max': '1' } })
      await pushBlob(server, 'm', EMPTY)
    }, 60_000)
    afterAll(() => server.stop())

    const sizeOf = async (location: string) => {
      const range = (await server.fetch(location)).headers.get('range') ?? ''
      return Number(range.slice('0-'.length)) + 1
    }
    const close = (location: string, digest: string, body: Uint8Array<ArrayBuffer>) =>
      server.fetch(`${location}?digest=${digest}`, { method: 'PUT', body })

    test.concurrent.each(['PATCH', 'PUT'])(
      '%s that stalls is 408, keeps what came, and goes on',
      async (method) => {
        const blob = randomBlob(2_000_000)
        const location = await startUpload(server, 'stall')
        const path = method === 'PUT' ? `${location}?digest=${blob.digest}` : location
        const request = await beginRequest(server.url, [
          `${method} ${path} HTTP/1.1`,
          'Content-Length: 2000000',
        ])
        request.send(blob.bytes.subarray(0, 1_234_567))
        const answer = await request.answer
        expect(answer).toStartWith('HTTP/1.1 408')
        expect(answer).toContain('BLOB_UPLOAD_INVALID')
        expect(await sizeOf(location)).toBe(1_234_567)
        expect((await close(location, blob.digest, blob.bytes.subarray(1_234_567))).status).toBe(201)
        const pulled = await (await server.fetch(`/v2/stall/blobs/${blob.digest}`)).bytes()
        expect(digestOf(pulled)).toBe(blob.digest)
      },
    )

    test.concurrent('a PATCH of unknown length that stalls is 408', async () => {
      const location = await startUpload(server, 'stall')
      const request = await beginRequest(server.url, [
        `PATCH ${location} HTTP/1.1`,
        'Transfer-Encoding: chunked',
      ])
      request.sendChunk('0123456789')
      expect(await request.answer).toStartWith('HTTP/1.1 408')
      expect(await sizeOf(location)).toBe(10)
    })

    test.concurrent('an interrupted PATCH keeps the received bytes and can be resumed', async () => {
      const blob = randomBlob(2_000_000)
      const location = await startUpload(server, 'break')
      const request = await beginRequest(server.url, [
        `PATCH ${location} HTTP/1.1`,
        'Content-Length: 2000000',
      ])
      request.send(blob.bytes.subarray(0, 1_100_001))
      await until(async () => (await sizeOf(location)) > 500_000)
      request.breakOff()
      await until(async () => (await sizeOf(location)) === 1_100_001)
      expect((await close(location, blob.digest, blob.bytes.subarray(1_100_001))).status).toBe(201)
    })

    test.concurrent('an interrupted POST of a whole blob leaves nothing', async () => {
      const blob = randomBlob(100_000)
      const path = `/v2/post/blobs/uploads/?digest=${blob.digest}`
      const request = await beginRequest(server.url, [`POST ${path} HTTP/1.1`, 'Content-Length: 100000'])
      request.send(blob.bytes.subarray(0, 50_000))
      request.breakOff()
      await until(() => server.log().some((line) => line.path === '/v2/post/blobs/uploads/'))
      expect((await server.fetch(`/v2/post/blobs/${blob.digest}`)).status).toBe(404)
      await pushBlob(server, 'post', blob)
    })

    test.concurrent.each([['Content-Length: 5000'], ['Transfer-Encoding: chunked']])(
      'a manifest that stalls (%s) is 408 and not stored',
      async (header) => {
        const manifest = imageManifest(EMPTY, [])
        const request = await beginRequest(server.url, [
          'PUT /v2/m/manifests/stalled HTTP/1.1',
          header,
          `Content-Type: ${OCI_MANIFEST}`,
        ])
        const text = new TextDecoder().decode(manifest.bytes)
        if (header.includes('chunked')) request.sendChunk(text)
        else request.send(text)
        expect(await request.answer).toStartWith('HTTP/1.1 408')
        expect((await server.fetch('/v2/m/manifests/stalled')).status).toBe(404)
      },
    )

    test.concurrent('an interrupted manifest is not stored', async () => {
      const lines = [
        'PUT /v2/m/manifests/broken HTTP/1.1',
        'Content-Length: 5000',
        `Content-Type: ${OCI_MANIFEST}`,
      ]
      const request = await beginRequest(server.url, lines)
      request.send(imageManifest(EMPTY, []).bytes)
      request.breakOff()
      await until(() => server.log().some((line) => line.path === '/v2/m/manifests/broken'))
      expect((await server.fetch('/v2/m/manifests/broken')).status).toBe(404)
    })

    test('a disconnected client is not logged as a server error', () => {
      const lines = server.log().filter((line) => typeof line.status === 'number')
      expect(lines.length).toBeGreaterThan(5)
      expect(lines.filter((line) => Number(line.status) >= 500)).toEqual([])
    })
  })
}
