import { afterAll, beforeAll, expect, test } from 'bun:test'
import { digestOf, named } from '../support/content.ts'
import { pushBlob } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
}, 30_000)
afterAll(() => server.stop())

test('blobs: one is downloaded, completely or by range, as a file that no browser runs', async () => {
  const page = named('<script>alert(1)</script>')
  await pushBlob(server, 'hostile/app', page)
  const path = `/api/v1/repositories/hostile%2Fapp/blobs/${page.digest}`
  const whole = await server.fetch(path)
  expect(await whole.text()).toBe('<script>alert(1)</script>')
  expect(Object.fromEntries(whole.headers)).toMatchObject({
    'content-type': 'application/octet-stream',
    'content-disposition': 'attachment',
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
  })
  const part = await server.fetch(path, { headers: { range: 'bytes=1-6' } })
  expect([part.status, await part.text()]).toEqual([206, 'script'])
  const head = await server.fetch(path, { method: 'HEAD' })
  expect([head.status, head.headers.get('content-length')]).toEqual([200, String(page.bytes.length)])
  const outside = await server.fetch(path, { headers: { range: 'bytes=900-' } })
  expect([outside.status, outside.headers.get('content-range')]).toEqual([
    416,
    `bytes */${page.bytes.length}`,
  ])
  const unknown = await server.fetch(
    `/api/v1/repositories/hostile%2Fapp/blobs/${digestOf(new Uint8Array(9))}`,
  )
  expect(unknown.status).toBe(404)
})
