import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { type Named, randomBlob } from '../support/content.ts'
import { pushBlob } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
})
afterAll(() => server[Symbol.asyncDispose]())

const fileOf = ({ digest }: Named) =>
  join(
    server.data,
    'blobs/sha256',
    digest.slice('sha256:'.length).slice(0, 2),
    digest.slice('sha256:'.length),
  )

const head = async ({ digest }: Named) =>
  (await server.fetch(`/v2/lost/blobs/${digest}`, { method: 'HEAD' })).status
const mount = async ({ digest }: Named) => {
  const path = `/v2/other/blobs/uploads/?mount=${digest}&from=lost`
  return (await server.fetch(path, { method: 'POST' })).status
}

test.each([
  ['missing', (blob: Named) => rm(fileOf(blob))],
  ['cut short', (blob: Named) => truncate(fileOf(blob), 60_000)],
  ['too long', (blob: Named) => truncate(fileOf(blob), 80_000)],
])('lost bytes: a file that is %s is not served, and clients are asked to push it again', async (_, harm) => {
  const blob = randomBlob(70_000)
  await pushBlob(server, 'lost', blob)
  expect(await head(blob)).toBe(200)
  await harm(blob)
  const response = await server.fetch(`/v2/lost/blobs/${blob.digest}`)
  expect([response.status, await response.text()]).toEqual([
    500,
    expect.stringContaining('push the blob again'),
  ])
  expect(await head(blob)).toBe(404)
  expect(await mount(blob)).toBe(202)
  await pushBlob(server, 'lost', blob)
  expect([await head(blob), await mount(blob)]).toEqual([200, 201])
  const whole = await server.fetch(`/v2/other/blobs/${blob.digest}`)
  expect(await whole.bytes()).toEqual(blob.bytes)
})

test('lost bytes: a range of a truncated file is not served', async () => {
  const blob = randomBlob(70_000)
  await pushBlob(server, 'lost', blob)
  await truncate(fileOf(blob), 60_000)
  const headers = { range: 'bytes=0-99' }
  expect((await server.fetch(`/v2/lost/blobs/${blob.digest}`, { headers })).status).toBe(500)
})
