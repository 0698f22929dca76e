import { afterEach, beforeEach, expect, test } from 'bun:test'
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts'
import { type CollectedRegistry, DAY, openCollectedRegistry } from '../support/collected-registry.ts'
import {
  descriptor,
  json,
  named,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { failureOf } from '../support/failure.ts'

const SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
const EMPTY_LAYER = named(Buffer.from('H4sIAAAJbogA/2IYBaNgFIxYAAgAAP//Lq+17wAEAAA=', 'base64'))
const config = json({ rootfs: {}, history: [{}, { empty_layer: true }] })
const layer = randomBlob(100)
const image = json({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: descriptor(config, OCI_CONFIG),
  layers: [descriptor(layer, OCI_LAYER)],
})

let cay: CollectedRegistry
beforeEach(async () => {
  cay = await openCollectedRegistry()
  cay.wait(DAY)
  for (const blob of [config, layer]) await cay.pushBlob(blob)
  await cay.pushManifest(image, ['t'])
})
afterEach(() => cay[Symbol.asyncDispose]())

const pull = (reference: string) =>
  cay.pulls.get(parseRepositoryName('a'), parseReference(reference), {
    accept: SIGNED,
    userAgent: () => null,
  })
const count = (table: string) => (cay.db.query(`select count(*) as n from ${table}`).get() as { n: number }).n
const collectAfter = async (ms: number) => {
  cay.wait(ms)
  await cay.collector.run()
}

test('conversions: a conversion and its empty layer are kept as long as the image', async () => {
  const { digest } = await pull('t')
  await collectAfter(100 * DAY)
  expect((await pull(digest)).digest).toBe(digest)
  expect([await cay.hasBlob(EMPTY_LAYER), cay.hasBytes(EMPTY_LAYER)]).toEqual([true, true])
  expect(count('converted_manifest')).toBe(1)
})

test('conversions: a conversion is deleted with its image', async () => {
  const { digest } = await pull('t')
  await cay.delete(image.digest)
  expect((await failureOf(pull(digest))).status).toBe(404)
  for (const days of [11, 2, 2]) await collectAfter(days * DAY)
  expect([await cay.hasBlob(EMPTY_LAYER), cay.hasBytes(EMPTY_LAYER)]).toEqual([false, false])
  expect([count('converted_manifest'), count('manifest_reference'), count('manifest')]).toEqual([0, 0, 0])
})

test('conversions: a conversion of two images is kept as long as either of them', async () => {
  const annotations = { a: 'b' }
  const other = json({ ...JSON.parse(Buffer.from(image.bytes).toString()), annotations })
  const { digest } = await pull('t')
  await cay.pushManifest(other, ['t'])
  expect((await pull('t')).digest).toBe(digest)
  await cay.delete(image.digest)
  for (const days of [11, 2, 2]) await collectAfter(days * DAY)
  expect((await pull(digest)).digest).toBe(digest)
  expect(await cay.hasBlob(EMPTY_LAYER)).toBe(true)
})

test('conversions: a conversion deleted with another image can be made again', async () => {
  const annotations = { a: 'b' }
  const other = json({ ...JSON.parse(Buffer.from(image.bytes).toString()), annotations })
  const { digest } = await pull('t')
  await cay.pushManifest(other, ['t'])
  await pull('t')
  await cay.delete(other.digest)
  await cay.pushManifest(image, ['t'])
  expect((await failureOf(pull(digest))).status).toBe(404)
  expect((await pull('t')).digest).toBe(digest)
  for (const days of [11, 2, 2]) await collectAfter(days * DAY)
  expect((await pull(digest)).digest).toBe(digest)
})

test('conversions: a conversion is kept when its tag moves', async () => {
  const { digest } = await pull('t')
  await cay.pushManifest(json({ schemaVersion: 2, manifests: [], mediaType: OCI_INDEX }), ['t'])
  await collectAfter(DAY)
  expect((await pull(digest)).digest).toBe(digest)
})

test('conversions: a known conversion, or an image that needs none, causes no write', async () => {
  await pull('t')
  const before = cay.db.query('pragma data_version').get()
  await pull('t')
  await cay.pulls.get(parseRepositoryName('a'), parseReference('t'), { accept: null, userAgent: () => null })
  expect(cay.db.query('pragma data_version').get()).toEqual(before)
})
