import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { digestOf, type Named, named, randomBlob } from '../support/content.ts'
import { pushBlob, startUpload } from '../support/push.ts'
import { runScenario, runScenarios } from '../support/scenario.ts'
import { SERVERS, type TestServer } from '../support/server.ts'

const ID = '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}~sha256~[\\w-]{22}'
const wrong = digestOf(named('wrong').bytes)

for (const [kind, start] of SERVERS) {
  describe(`uploads, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
    }, 60_000)
    afterAll(() => server.stop())

    const ask = (method: string, path: string, status: number, more: object = {}) =>
      runScenario(server, { name: '', method, path, status, ...more })
    const expectBlob = (name: string, { digest, bytes }: Named) =>
      ask('GET', `/v2/${name}/blobs/${digest}`, 200, {
        content: bytes,
        has: { 'docker-content-digest': digest },
      })
    const created = (name: string, digest: string) => ({
      has: { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest },
      content: '',
    })

    test('start at a Location with their id in its path', async () => {
      await ask('POST', '/v2/begin/blobs/uploads/', 202, {
        has: {
          location: new RegExp(`^/v2/begin/blobs/uploads/${ID}$`),
          range: '0-0',
          'docker-upload-uuid': new RegExp(ID),
        },
        content: '',
      })
    })

    test('create a blob by one POST', async () => {
      const blob = randomBlob(1000)
      await ask('POST', `/v2/single/blobs/uploads/?digest=${blob.digest}`, 201, {
        body: blob,
        ...created('single', blob.digest),
      })
      await expectBlob('single', blob)
    })

    test('create a blob by POST and PUT', async () => {
      const blob = randomBlob(1000)
      const location = await startUpload(server, 'put')
      await ask('PUT', `${location}?digest=${blob.digest}`, 201, {
        body: blob,
        ...created('put', blob.digest),
      })
      await expectBlob('put', blob)
      await ask('GET', location, 404, { codes: ['BLOB_UPLOAD_UNKNOWN'] })
    })

    test('create a blob by chunks, with the last one in the closing PUT', async () => {
      const blob = randomBlob(2_500_000)
      const location = await startUpload(server, 'chunks')
      let at = 0
      for (const end of [1_000_000, 1_000_001, 2_000_000]) {
        const has = { location, range: `0-${end - 1}`, 'docker-upload-uuid': new RegExp(ID) }
        const headers = { 'content-range': `${at}-${end - 1}` }
        await ask('PATCH', location, 202, {
          headers,
          body: named(blob.bytes.subarray(at, end)),
          has,
          content: '',
        })
        await ask('GET', location, 204, { has, content: '' })
        await ask('HEAD', location, 204, { has })
        at = end
      }
      const headers = { 'content-range': `${at}-2499999` }
      await ask('PUT', `${location}?digest=${blob.digest}`, 201, {
        headers,
        body: named(blob.bytes.subarray(at)),
      })
      await expectBlob('chunks', blob)
    })

    test('accept the byte after the last one as the end', async () => {
      const location = await startUpload(server, 'exclusive')
      await ask('PATCH', location, 202, {
        headers: { 'content-range': '0-5' },
        body: '01234',
        has: { range: '0-4' },
      })
      await ask('PATCH', location, 202, {
        headers: { 'content-range': '5-10' },
        body: '56789',
        has: { range: '0-9' },
      })
      await ask('PUT', `${location}?digest=${digestOf(named('0123456789').bytes)}`, 201)
    })

    test('append a chunk without Content-Range, also of unknown length', async () => {
      const blob = randomBlob(1_500_000)
      const location = await startUpload(server, 'stream')
      const parts = [blob.bytes.subarray(0, 700_000), blob.bytes.subarray(700_000)]
      for (const part of parts) {
        const body = new Blob([part]).stream()
        const headers = { 'content-type': 'application/octet-stream' }
        expect((await server.fetch(location, { method: 'PATCH', body, headers })).status).toBe(202)
      }
      await ask('PUT', `${location}?digest=${blob.digest}`, 201, { body: '' })
      await expectBlob('stream', blob)
    })

    test('answer a chunk out of order with 416, by PATCH and by the closing PUT, and can continue', async () => {
      const blob = named('0123456789')
      const location = await startUpload(server, 'order')
      await ask('PATCH', location, 202, { headers: { 'content-range': '0-3' }, body: '0123' })
      for (const range of ['6-7', '0-1', '3-4']) {
        const refused = {
          headers: { 'content-range': range },
          body: 'xx',
          codes: ['BLOB_UPLOAD_INVALID'],
          has: { range: '0-3', location },
        }
        await ask('PATCH', location, 416, refused)
        await ask('PUT', `${location}?digest=${blob.digest}`, 416, refused)
        await ask('GET', location, 204, { has: { range: '0-3' } })
      }
      await ask('PATCH', location, 202, { headers: { 'content-range': '4-6' }, body: '456' })
      await ask('PUT', `${location}?digest=${blob.digest}`, 201, {
        headers: { 'content-range': '7-9' },
        body: '789',
      })
      await expectBlob('order', blob)
    })

    test('refuse an invalid or wrong Content-Range, and can continue', async () => {
      const location = await startUpload(server, 'malformed')
      await ask('PATCH', location, 400, {
        headers: { 'content-range': 'all' },
        body: 'ab',
        codes: ['BLOB_UPLOAD_INVALID'],
      })
      await ask('PATCH', location, 400, {
        headers: { 'content-range': '0-9' },
        body: 'ab',
        codes: ['SIZE_INVALID'],
      })
      await ask('GET', location, 204, { has: { range: '0-0' } })
      await ask('PUT', `${location}?digest=${digestOf(named('ab').bytes)}`, 201, { body: 'ab' })
    })

    test('keep their bytes if the digest does not match', async () => {
      const location = await startUpload(server, 'mismatch')
      await ask('PATCH', location, 202, { body: 'right' })
      const closing = { codes: ['DIGEST_INVALID'], content: new RegExp(digestOf(named('right').bytes)) }
      await ask('PUT', `${location}?digest=${wrong}`, 400, closing)
      await ask('PUT', location, 400, { codes: ['DIGEST_INVALID'] })
      await ask('PUT', `${location}?digest=sha256:nothing`, 400, { codes: ['DIGEST_INVALID'] })
      await ask('GET', `/v2/mismatch/blobs/${wrong}`, 404)
      await ask('GET', location, 204, { has: { range: '0-4' } })
      await ask('PUT', `${location}?digest=${digestOf(named('right').bytes)}`, 201)
    })

    test('that fail leave neither the blob nor the repository', async () => {
      await ask('POST', `/v2/nothing/blobs/uploads/?digest=${wrong}`, 400, {
        body: 'right',
        codes: ['DIGEST_INVALID'],
      })
      await ask('POST', '/v2/nothing/blobs/uploads/?digest=md5:1', 400, { codes: ['DIGEST_INVALID'] })
      await startUpload(server, 'nothing')
      await ask('GET', '/v2/nothing/tags/list', 404, { codes: ['NAME_UNKNOWN'] })
      await ask('GET', '/v2/_catalog', 200, { hides: /nothing/ })
    })

    test('create the empty blob, with and without a body', async () => {
      const empty = named('')
      await ask('POST', `/v2/empty/single/blobs/uploads/?digest=${empty.digest}`, 201)
      const location = await startUpload(server, 'empty/put')
      await ask('PUT', `${location}?digest=${empty.digest}`, 201, { body: '' })
      for (const name of ['empty/single', 'empty/put']) {
        await ask('GET', `/v2/${name}/blobs/${empty.digest}`, 200, {
          has: { 'content-length': '0' },
          content: '',
        })
      }
    })

    test('can be cancelled', async () => {
      const location = await startUpload(server, 'cancel')
      await ask('PATCH', location, 202, { body: 'bytes' })
      await ask('DELETE', location, 204, { content: '' })
      for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
        const more = method === 'GET' || method === 'DELETE' ? {} : { body: 'x' }
        await ask(method, `${location}?digest=${wrong}`, 404, { codes: ['BLOB_UPLOAD_UNKNOWN'], ...more })
      }
    })

    test('are found only in their repository', async () => {
      const location = await startUpload(server, 'mine')
      const elsewhere = location.replace('/mine/', '/yours/')
      for (const method of ['GET', 'DELETE'])
        await ask(method, elsewhere, 404, { codes: ['BLOB_UPLOAD_UNKNOWN'] })
      await ask('PATCH', elsewhere, 404, { body: 'x', codes: ['BLOB_UPLOAD_UNKNOWN'] })
      await ask('PUT', `${elsewhere}?digest=${wrong}`, 404, { body: 'x', codes: ['BLOB_UPLOAD_UNKNOWN'] })
      await ask('GET', location, 204, { has: { range: '0-0' } })
    })

    test('take one of two concurrent PATCHes, or both in sequence', async () => {
      const location = await startUpload(server, 'race')
      const [a, b] = ['a', 'b'].map((letter) => letter.repeat(300_000)) as [string, string]
      const headers = { 'content-range': '0-299999' }
      const patch = (body: string, more = {}) => server.fetch(location, { method: 'PATCH', body, ...more })
      const ranged = await Promise.all([patch(a, { headers }), patch(b, { headers })])
      expect(ranged.map(({ status }) => status).sort()).toEqual([202, 416])
      await Promise.all([patch(a), patch(b)])
      const first = ranged[0]!.status === 202 ? a : b
      const blobs = [first + a + b, first + b + a].map(named)
      const closed = await Promise.all(
        blobs.map(
          async ({ digest }) =>
            (await server.fetch(`${location}?digest=${digest}`, { method: 'PUT' })).status,
        ),
      )
      expect(closed.filter((status) => status === 201).length).toBe(1)
      await expectBlob('race', blobs[closed.indexOf(201)]!)
    })

    test('all succeed when they push the same blob concurrently', async () => {
      const blob = randomBlob(200_000)
      await Promise.all(Array.from({ length: 20 }, (_, n) => pushBlob(server, `same/${n % 3}`, blob)))
      for (const n of [0, 1, 2]) await expectBlob(`same/${n}`, blob)
    })

    runScenarios(
      () => server,
      [crypto.randomUUID(), 'x', '..%2f..', '%00', 'a'.repeat(5000)].map((id) => ({
        name: `${id.slice(0, 40)} is no upload`,
        path: `/v2/begin/blobs/uploads/${id}`,
        status: 404,
        codes: ['BLOB_UPLOAD_UNKNOWN'],
      })),
    )
  })
}
