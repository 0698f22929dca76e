import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { digestOf, EMPTY, imageManifest, named, randomBlob } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'
import { runScenarios } from '../support/scenario.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const small = named('0123456789')
const used = randomBlob(100)
const unknown = digestOf(named('unknown').bytes)

describe('DELETE of a blob', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await startInProcess()
  })
  afterAll(() => server.stop())

  test('takes effect immediately, in this repository only', async () => {
    for (const name of ['a', 'b']) await pushBlob(server, name, small)
    for (let round = 0; round < 20; round++) {
      expect((await server.fetch(`/v2/a/blobs/${small.digest}`)).status).toBe(200)
      expect((await server.fetch(`/v2/a/blobs/${small.digest}`, { method: 'DELETE' })).status).toBe(202)
      for (const method of ['GET', 'HEAD', 'DELETE']) {
        expect((await server.fetch(`/v2/a/blobs/${small.digest}`, { method })).status).toBe(404)
      }
      expect(await (await server.fetch(`/v2/b/blobs/${small.digest}`)).text()).toBe('0123456789')
      await pushBlob(server, 'a', small)
    }
  })

  test('is refused while a manifest references the blob', async () => {
    const manifest = imageManifest(EMPTY, [used])
    await pushImage(server, 'c', manifest, [used], { reference: 'latest' })
    const blob = `/v2/c/blobs/${used.digest}`
    const refused = await server.fetch(blob, { method: 'DELETE' })
    expect(refused.status).toBe(405)
    expect(await refused.text()).toContain(`in use by manifest ${manifest.digest}`)
    expect((await server.fetch(blob)).status).toBe(200)
    await server.fetch('/v2/c/manifests/latest', { method: 'DELETE' })
    expect((await server.fetch(blob, { method: 'DELETE' })).status).toBe(405)
    await server.fetch(`/v2/c/manifests/${manifest.digest}`, { method: 'DELETE' })
    expect((await server.fetch(blob, { method: 'DELETE' })).status).toBe(202)
    expect((await server.fetch(blob)).status).toBe(404)
  })

  runScenarios(
    () => server,
    [
      {
        name: 'of an unknown blob',
        method: 'DELETE',
        path: `/v2/c/blobs/${unknown}`,
        status: 404,
        codes: ['BLOB_UNKNOWN'],
      },
      {
        name: 'in an unknown repository',
        method: 'DELETE',
        path: `/v2/x/y/blobs/${unknown}`,
        status: 404,
        codes: ['NAME_UNKNOWN'],
      },
    ],
  )

  test('is refused while another manifest shares the layer', async () => {
    const layer = randomBlob(10)
    const [one, two] = [
      imageManifest(EMPTY, [layer]),
      imageManifest(EMPTY, [layer], { annotations: { n: '2' } }),
    ]
    for (const manifest of [one, two]) await pushImage(server, 'd', manifest, [layer])
    await server.fetch(`/v2/d/manifests/${one.digest}`, { method: 'DELETE' })
    expect((await server.fetch(`/v2/d/blobs/${layer.digest}`, { method: 'DELETE' })).status).toBe(405)
  })
})
