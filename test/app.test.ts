import { expect, test } from 'bun:test'
import { SETTINGS } from '../src/config/settings.ts'
import { EMPTY, imageManifest, named, randomBlob } from './support/content.ts'
import { pushBlob, pushImage } from './support/push.ts'
import { runScenario } from './support/scenario.ts'
import { startInProcess } from './support/server.ts'

const manifest = imageManifest(EMPTY, [])

test('settings: cay works with every limit at its minimum', async () => {
  const numbers = SETTINGS.filter(
    ({ path, schema }) => schema.type === 'integer' && path !== 'blobs.bytes-max',
  )
  expect(numbers.length).toBeGreaterThan(8)
  const settings = Object.fromEntries(numbers.map(({ path, schema }) => [path, String(schema.minimum)]))
  await using server = await startInProcess({ settings })
  const blob = randomBlob(1_000_000)
  await pushBlob(server, 'a', blob)
  await runScenario(server, { name: '', path: `/v2/a/blobs/${blob.digest}`, status: 200, content: blob })
  await pushImage(server, 'a', manifest, [], { reference: 'latest' })
  for (let round = 0; round < 2; round++) {
    await runScenario(server, { name: '', path: '/v2/a/manifests/latest', status: 200, content: manifest })
  }
})

test('uploads: a blob larger than blobs.bytes-max gets 413, and is not kept', async () => {
  await using server = await startInProcess({ settings: { 'blobs.bytes-max': '10' } })
  const [fits, not] = [named('0123456789'), named('0123456789a')]
  await pushBlob(server, 'a', fits)
  const path = `/v2/a/blobs/uploads/?digest=${not.digest}`
  await runScenario(server, {
    name: '',
    method: 'POST',
    path,
    body: not,
    status: 413,
    codes: ['SIZE_INVALID'],
  })
  await runScenario(server, { name: '', path: `/v2/a/blobs/${not.digest}`, status: 404 })
})
