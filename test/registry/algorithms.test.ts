import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { digestOf, EMPTY, imageManifest, type Named, OCI_MANIFEST, randomBlob } from '../support/content.ts'
import { pushBlob, pushManifest, putManifest, startUpload } from '../support/push.ts'
import { runScenario } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const sha512 = ({ bytes }: Named) => digestOf(bytes, 'sha512')
const wrong = digestOf(new TextEncoder().encode('wrong'), 'sha512')

describe('sha512', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess()
    await pushBlob(server, 'm', EMPTY)
  })
  afterAll(() => server.stop())

  const expectBlob = (digest: string, { bytes }: Named) =>
    runScenario(server, {
      name: '',
      path: `/v2/b/blobs/${digest}`,
      status: 200,
      content: bytes,
      has: { 'docker-content-digest': digest, etag: `"${digest}"` },
    })

  test('completes an upload that announced no algorithm, or sha256', async () => {
    for (const [query, digestFor] of [
      ['', sha512],
      ['?digest-algorithm=sha256', sha512],
      ['?digest-algorithm=sha512', sha512],
      ['?digest-algorithm=sha512', ({ digest }: Named) => digest],
    ] as const) {
      const blob = randomBlob(1_300_000)
      const location = await startUpload(server, 'b', query)
      await server.fetch(location, { method: 'PATCH', body: blob.bytes.subarray(0, 1_000_000) })
      const close = (digest: string, body: Uint8Array<ArrayBuffer> | null) =>
        server.fetch(`${location}?digest=${digest}`, { method: 'PUT', body })
      expect((await close(wrong, blob.bytes.subarray(1_000_000))).status).toBe(400)
      expect((await close(digestFor(blob), null)).status).toBe(201)
      await expectBlob(digestFor(blob), blob)
    }
  })

  test('identifies a blob pushed by one POST, separately from its sha256', async () => {
    const blob = randomBlob(1000)
    await pushBlob(server, 'b', { ...blob, digest: sha512(blob) })
    await expectBlob(sha512(blob), blob)
    expect((await server.fetch(`/v2/b/blobs/${blob.digest}`)).status).toBe(404)
  })

  test('any other algorithm is refused', async () => {
    for (const algorithm of ['sha384', 'md5', '', 'toString']) {
      const scenario = {
        method: 'POST',
        path: `/v2/b/blobs/uploads/?digest-algorithm=${algorithm}`,
        status: 400,
      }
      await runScenario(server, { name: '', ...scenario, codes: ['DIGEST_INVALID'] })
    }
  })

  test('finds a manifest that was pushed with it, and its tags return that digest', async () => {
    const manifest = imageManifest(EMPTY, [], { annotations: { n: '512' } })
    const digest = sha512(manifest)
    const pushed = await pushManifest(server, 'm', manifest, { reference: `${digest}?tag=v512` })
    expect(pushed.headers.get('docker-content-digest')).toBe(digest)
    expect(pushed.headers.get('location')).toBe(`/v2/m/manifests/${digest}`)
    for (const reference of [digest, 'v512']) {
      const has = { 'docker-content-digest': digest, 'content-type': OCI_MANIFEST, etag: `"${digest}"` }
      for (const method of ['GET', 'HEAD']) {
        await runScenario(server, {
          name: '',
          method,
          path: `/v2/m/manifests/${reference}`,
          status: 200,
          has,
        })
      }
    }
  })

  test('a manifest is found by each digest that it was pushed with, and deleted by any of them', async () => {
    const manifest = imageManifest(EMPTY, [], { annotations: { n: 'both' } })
    const digests = [manifest.digest, sha512(manifest)]
    await pushManifest(server, 'm', manifest, { reference: 'both' })
    await pushManifest(server, 'm', manifest, { reference: sha512(manifest) })
    for (const digest of digests) {
      const has = { 'docker-content-digest': digest }
      await runScenario(server, {
        name: '',
        path: `/v2/m/manifests/${digest}`,
        status: 200,
        has,
        content: manifest,
      })
    }
    const tagged = await server.fetch('/v2/m/manifests/both')
    expect(tagged.headers.get('docker-content-digest')).toBe(manifest.digest)
    expect((await server.fetch(`/v2/m/manifests/${digests[1]}`, { method: 'DELETE' })).status).toBe(202)
    for (const reference of [...digests, 'both']) {
      expect((await server.fetch(`/v2/m/manifests/${reference}`)).status).toBe(404)
    }
  })

  test('of other content than the manifest is DIGEST_INVALID', async () => {
    for (const reference of [wrong, digestOf(new Uint8Array(1))]) {
      const response = await putManifest(server, 'm', imageManifest(EMPTY, []), { reference })
      expect([response.status, await response.text()]).toEqual([
        400,
        expect.stringContaining('DIGEST_INVALID'),
      ])
      expect((await server.fetch(`/v2/m/manifests/${reference}`)).status).toBe(404)
    }
  })
})
