import { expect, test } from 'bun:test'
import { startCache, type TestCache } from '../support/cache.ts'
import { EMPTY, imageManifest, json, type Named, OCI_MANIFEST } from '../support/content.ts'
import { pushImage } from '../support/push.ts'

const config = json({ os: 'linux', config: { Labels: { env: 'cached' } } })
const manifest = imageManifest(config, [], { annotations: { mark: 'cached' } })

async function find({ server }: TestCache, q: string): Promise<string[]> {
  const { labels } = (await (await server.fetch(`/api/v1/search?q=${q}`)).json()) as {
    labels: { items: { repository: string; tag: string; label: string }[] }
  }
  return labels.items.map(({ repository, tag, label }) => `${repository}:${tag} ${label}`)
}

async function pull(cache: TestCache, suffix: string, { bytes }: Named): Promise<void> {
  const response = await cache.get(suffix)
  expect(response.status).toBe(200)
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes)
}

test('cached labels: annotations are found after a pull, and the labels of the config when it is cached', async () => {
  await using cache = await startCache()
  cache.fake.putBlob('library/app', config)
  cache.fake.putManifest('library/app', '1', manifest, OCI_MANIFEST)
  await pull(cache, 'manifests/1', manifest)
  expect(await find(cache, 'mark')).toEqual(['up.example/library/app:1 mark=cached'])
  expect(await find(cache, 'env')).toEqual([])
  await pull(cache, `blobs/${config.digest}`, config)
  expect(await find(cache, 'env')).toEqual(['up.example/library/app:1 env=cached'])
  expect(
    (await cache.server.fetch(`/v2/up.example/library/app/manifests/1`, { method: 'DELETE' })).status,
  ).toBe(202)
  expect(await find(cache, 'mark')).toEqual([])
})

test('cached labels: a manifest that arrives after its config has the labels of both', async () => {
  await using cache = await startCache()
  const other = imageManifest(config, [], { annotations: { other: 'yes' } })
  cache.fake.putBlob('library/app', config)
  cache.fake.putManifest('library/app', '1', manifest, OCI_MANIFEST)
  cache.fake.putManifest('library/app', '2', other, OCI_MANIFEST)
  await pull(cache, 'manifests/1', manifest)
  await pull(cache, `blobs/${config.digest}`, config)
  await pull(cache, 'manifests/2', other)
  expect(await find(cache, 'env')).toEqual([
    'up.example/library/app:2 env=cached',
    'up.example/library/app:1 env=cached',
  ])
})

test('cached labels: a manifest of an upstream reveals no labels of a config that its repository lacks', async () => {
  await using cache = await startCache()
  await pushImage(cache.server, 'private/app', imageManifest(config, []), [EMPTY, config], { reference: '1' })
  cache.fake.putManifest('library/app', '1', manifest, OCI_MANIFEST)
  await pull(cache, 'manifests/1', manifest)
  expect(await find(cache, 'env')).toEqual(['private/app:1 env=cached'])
})
