import { afterAll, beforeAll, expect, test } from 'bun:test'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

let clock = Date.UTC(2026, 0, 1)
let server: TestServer

beforeAll(async () => {
  const settings = { 'gc.grace-seconds': '100', 'gc.window-seconds': '1000', 'gc.interval-seconds': '86400' }
  server = await startInProcess({ now: () => clock, settings })
})
afterAll(() => server.stop())

async function collect(): Promise<void> {
  const init = { method: 'POST', body: '{"kind":"gc"}', headers: { 'content-type': 'application/json' } }
  const { id } = (await (await server.fetch('/api/v1/jobs', init)).json()) as { id: string }
  await (await server.fetch(`/api/v1/jobs/${id}/events`)).text()
}

const blob = ({ digest }: Named) => `/v2/a/blobs/${digest}`
const manifest = ({ digest }: Named) => `/v2/a/manifests/${digest}`
const status = async (path: string, method = 'GET') => {
  const response = await server.fetch(path, { method })
  await response.bytes()
  return response.status
}

test('fresh pushes: HEAD of a blob by a pusher protects it for the grace period, GET does not', async () => {
  const [head, get] = [randomBlob(10), randomBlob(10)]
  for (const each of [head, get]) await pushBlob(server, 'a', each)
  clock += 90_000
  expect([await status(blob(head), 'HEAD'), await status(blob(get))]).toEqual([200, 200])
  clock += 20_000
  await collect()
  expect([await status(blob(head)), await status(blob(get))]).toEqual([200, 404])
  clock += 90_000
  await collect()
  expect(await status(blob(head))).toBe(404)
})

test('fresh pushes: HEAD or GET of a collectable manifest protects it for the grace period', async () => {
  const images = ['head', 'get', 'neither'].map((n) => imageManifest(EMPTY, [], { annotations: { n } }))
  const [head, get, neither] = images as [Named, Named, Named]
  for (const image of images) {
    await pushImage(server, 'a', image, [], { reference: 't' })
    await server.fetch('/v2/a/manifests/t', { method: 'DELETE' })
  }
  clock += 990_000
  expect([await status(manifest(head), 'HEAD'), await status(manifest(get))]).toEqual([200, 200])
  clock += 99_000
  await collect()
  expect([
    await status(manifest(head)),
    await status(manifest(get)),
    await status(manifest(neither)),
  ]).toEqual([200, 200, 404])
})
