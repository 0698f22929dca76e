import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { SERVERS, type TestServer } from '../support/server.ts'

const MALFORMED: [path: string, code: string][] = [
  ['/blobs/nothing', 'DIGEST_INVALID'],
  ['/blobs/sha256:0', 'DIGEST_INVALID'],
  ['/repositories/UPPER', 'NAME_INVALID'],
  ['/repositories/a/tags/-', 'MANIFEST_INVALID'],
  ['/repositories/a/manifests/%C2%AF', 'MANIFEST_INVALID'],
  [`/repositories/a/manifests/${'0'.repeat(135)}`, 'MANIFEST_INVALID'],
  ['/repositories/a/manifests/sha256:0', 'DIGEST_INVALID'],
  ['/repositories/a/manifests/sha256:0/raw', 'DIGEST_INVALID'],
  ['/access?repository=a%20b', 'NAME_INVALID'],
]

for (const [name, start] of SERVERS) {
  describe(`malformed parts of a path, ${name}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
      const headers = { 'content-type': 'application/json' }
      const put = await server.fetch('/api/v1/repositories/a', { method: 'PUT', headers, body: '{}' })
      expect(put.status).toBe(201)
    }, 60_000)
    afterAll(() => server.stop())

    test.each(MALFORMED)('%s: %s', async (path, code) => {
      const response = await server.fetch(`/api/v1${path}`)
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([400, code])
    })
  })
}
