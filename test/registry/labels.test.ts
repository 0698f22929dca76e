import { afterAll, beforeAll, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openServices, type Services } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { Labels } from '../../src/oci/image-config.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { configReader, type LabelReader, labelReader } from '../../src/registry/labels.ts'
import {
  descriptor,
  imageIndex,
  imageManifest,
  json,
  type Named,
  OCI_INDEX,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { pushImage, pushManifest } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

const repository = 'labels'
const layer = randomBlob(10)
const config = (Labels: object | null, more: object = {}) =>
  json({ architecture: 'amd64', config: { Labels }, ...more })

const first = config({ team: 'a', common: 'x' })
const second = config({ team: 'b', common: 'x' })
const large = config({ common: 'x' }, { filler: 'x'.repeat(2 * 1024 * 1024) })
const bare = config(null)

const images = {
  first: imageManifest(first, [layer], { annotations: { team: 'c', note: 'n' } }),
  second: imageManifest(second, [layer]),
  large: imageManifest(large, [layer], { annotations: { note: 'large' } }),
  bare: imageManifest(bare, [layer]),
  artifact: imageManifest(first, [layer], {
    artifactType: 'application/vnd.example',
    annotations: { note: 'n' },
  }),
}
const child = (image: Named, more: object = {}) => descriptor(image, OCI_MANIFEST, more)
const attestation = { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } }
const indexes = {
  both: imageIndex([child(images.first), child(images.second)], { annotations: { index: 'i' } }),
  attested: imageIndex([child(images.second), child(images.bare, attestation)]),
  bare: imageIndex([child(images.second), child(images.bare)]),
  sparse: imageIndex([child(images.second), child(imageManifest(bare, []))]),
  empty: imageIndex([], { annotations: { index: 'i' } }),
}
const nested = imageIndex([descriptor(indexes.both, OCI_INDEX), child(images.second)])
const wide = ['1', '2'].map((n) =>
  imageIndex(
    Array.from({ length: 60 }, () => child(images.second)),
    { annotations: { n } },
  ),
)
const wider = imageIndex(wide.map((index) => descriptor(index, OCI_INDEX)))

const resources = new AsyncDisposableStack()
let services: Services
let read: LabelReader

beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('labels'))
  const server = await startInProcess({ data: folder.path })
  for (const image of Object.values(images)) {
    await pushImage(server, repository, image, [layer, first, second, large, bare])
  }
  for (const index of [...Object.values(indexes), nested, ...wide, wider]) {
    await pushManifest(server, repository, index, { type: OCI_INDEX })
  }
  await server.stop()
  const { config } = await loadConfig({ flags: { data: folder.path }, file: undefined, environment: {} })
  services = await openServices(config, openMemoryLog().log, {
    onFailure: () => {},
  })
  resources.defer(() => services.close())
  read = labelReader(
    services.metadata,
    configReader(services.content.registry.blobs, { findPushed: () => undefined }),
  )
})

afterAll(() => resources.disposeAsync())

test.each<[what: string, manifest: Named, labels: Labels]>([
  [
    'an image: its config, and its annotations before that',
    images.first,
    { team: 'c', common: 'x', note: 'n' },
  ],
  ['an image without annotations', images.second, { team: 'b', common: 'x' }],
  ['an image whose config is too large', images.large, { note: 'large' }],
  ['an image without labels', images.bare, {}],
  ['an artifact: its annotations only', images.artifact, { note: 'n' }],
  ['an index: what all its images have', indexes.both, { common: 'x', index: 'i' }],
  ['an index with an attestation', indexes.attested, { team: 'b', common: 'x' }],
  ['an index with an image without labels', indexes.bare, {}],
  ['an index with a child that is not here', indexes.sparse, {}],
  ['an empty index', indexes.empty, { index: 'i' }],
  ['an index in an index', nested, { common: 'x' }],
  ['an index with more than 100 manifests below its indexes', wider, {}],
])('labels: of %s', async (_, { bytes, digest }, labels) => {
  const name = parseRepositoryName(repository)
  const { mediaType } = services.metadata.manifests.findByDigest(name, parseDigest(digest)) ?? {}
  expect(await read(name, parseManifest(bytes, mediaType), bytes)).toEqual(labels)
})

test('labels: they are read only from configs that the repository has', async () => {
  const { bytes } = images.second
  expect(await read(parseRepositoryName('other'), parseManifest(bytes, OCI_MANIFEST), bytes)).toEqual({})
})
