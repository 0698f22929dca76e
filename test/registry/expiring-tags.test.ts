import { afterAll, beforeAll, expect, test } from 'bun:test'
import { Clock } from '../support/clock.ts'
import {
  descriptor,
  imageIndex,
  imageManifest,
  json,
  type Named,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { expectStatus, pushBlob, pushManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const label = 'quay.expires-after'
const repository = 'expiring'
const clock = new Clock(Date.UTC(2026, 0, 1))
const config = (Labels: object) => json({ config: { Labels } })
const day = config({ [label]: '1d' })
const week = config({ [label]: '1w', other: 'x' })
const nonsense = config({ [label]: 'soon' })

const images = {
  day: imageManifest(day, []),
  annotated: imageManifest(day, [], { annotations: { [label]: '2d' } }),
  artifact: imageManifest(day, [], { artifactType: 'application/vnd.example' }),
  nonsense: imageManifest(nonsense, []),
  week: imageManifest(week, []),
}
const indexOf = (...children: Named[]) => imageIndex(children.map((child) => descriptor(child, OCI_MANIFEST)))

let server: TestServer
beforeAll(async () => {
  server = await startInProcess({ now: clock.now })
  for (const blob of [day, week, nonsense]) await pushBlob(server, repository, blob)
  for (const image of Object.values(images)) await pushManifest(server, repository, image)
})
afterAll(() => server.stop())

async function daysOf(manifest: Named, type: string): Promise<number | undefined> {
  const path = `/v2/${repository}/manifests/ends`
  await pushManifest(server, repository, manifest, { reference: 'ends', type })
  for (let days = 0; days < 8; days++) {
    await expectStatus(await server.fetch(path), 200)
    clock.advance(86_399)
    await expectStatus(await server.fetch(path), 200)
    clock.advance(1)
    if ((await server.fetch(path)).status === 404) return days + 1
  }
  await expectStatus(await server.fetch(path, { method: 'DELETE' }), 202)
  return undefined
}

test.each<[what: string, manifest: Named, type: string, days: number | undefined]>([
  ["an image's config", images.day, OCI_MANIFEST, 1],
  ['an annotation before the config', images.annotated, OCI_MANIFEST, 2],
  ['images of an index that all have it', indexOf(images.day, images.day), OCI_INDEX, 1],
  ['images of an index that differ', indexOf(images.day, images.week), OCI_INDEX, undefined],
  ["an artifact's config", images.artifact, OCI_MANIFEST, undefined],
  ['a label that means nothing', images.nonsense, OCI_MANIFEST, undefined],
])('a tag expires as its label says: %s', async (_, manifest, type, days) => {
  expect(await daysOf(manifest, type)).toBe(days)
})

test('expiring tags: a push by digest sets the expiry of its tags; the manifest stays', async () => {
  const { digest } = images.day
  await pushManifest(server, repository, images.day, { reference: `${digest}?tag=a&tag=b` })
  clock.advance(86_400)
  for (const tag of ['a', 'b'])
    await expectStatus(await server.fetch(`/v2/${repository}/manifests/${tag}`), 404)
  await expectStatus(await server.fetch(`/v2/${repository}/manifests/${digest}`), 200)
})
