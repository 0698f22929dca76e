import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { allowedTypes } from '../../src/registry/local-manifests.ts'
import {
  DOCKER_LIST,
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  json,
  type Named,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { expectStatus, pushBlob, putManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

const HELM = 'application/vnd.cncf.helm.config.v1+json'

const image = imageManifest(EMPTY, [])
const chart = json({ schemaVersion: 2, config: descriptor(EMPTY, HELM), layers: [] })
const bundle = imageManifest(EMPTY, [], { artifactType: 'application/vnd.dev.sigstore.bundle.v0.3+json' })
const index = imageIndex([])
const list = json({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [] })
const typedIndex = imageIndex([], { artifactType: 'application/vnd.example' })
const other = json({ schemaVersion: 2 })

describe('allowed types: a repository with a list', () => {
  let server: TestServer
  beforeAll(async () => {
    const allow = `charts/**=${HELM},prod/*=image,application/vnd.dev.sigstore.bundle*,prod/more=${HELM}`
    server = await startInProcess({ settings: { 'artifacts.allow': allow } })
    for (const name of ['charts/a', 'prod/app', 'prod/more', 'elsewhere']) await pushBlob(server, name, EMPTY)
  })
  afterAll(() => server.stop())

  test.each<[repository: string, what: string, manifest: Named, type: string, status: number]>([
    ['charts/a', 'a chart', chart, OCI_MANIFEST, 201],
    ['charts/a', 'an image', image, OCI_MANIFEST, 403],
    ['charts/a', 'an index', index, OCI_INDEX, 403],
    ['prod/app', 'an image', image, OCI_MANIFEST, 201],
    ['prod/app', 'an index', index, OCI_INDEX, 201],
    ['prod/app', "Docker's list", list, DOCKER_LIST, 201],
    ['prod/app', 'a bundle', bundle, OCI_MANIFEST, 201],
    ['prod/app', 'a chart', chart, OCI_MANIFEST, 403],
    ['prod/app', 'an index of a type of its own', typedIndex, OCI_INDEX, 403],
    ['prod/app', 'a manifest of another type', other, 'application/vnd.example+json', 403],
    ['prod/more', 'a chart, by another pattern', chart, OCI_MANIFEST, 201],
    ['prod/more', 'an image', image, OCI_MANIFEST, 201],
    ['elsewhere', 'a chart', chart, OCI_MANIFEST, 201],
    ['elsewhere', 'a manifest of another type', other, 'application/vnd.example+json', 201],
  ])('%s: %s', async (repository, _, manifest, type, status) => {
    await expectStatus(await putManifest(server, repository, manifest, { type, reference: 'v1' }), status)
  })

  test('names the allowed types in its error', async () => {
    const response = await putManifest(server, 'charts/a', image)
    const [error] = ((await response.json()) as { errors: object[] }).errors
    expect(error).toEqual({
      code: 'DENIED',
      message: `charts/a accepts only ${HELM}, not image`,
      detail: { name: 'charts/a', artifactType: 'image', allowed: [HELM] },
    })
  })
})

test.each([
  [['image'], 'artifacts.allow has the entry "image": expected PATTERN=TYPE'],
  [['a/**='], 'artifacts.allow has the entry "a/**=": expected PATTERN=TYPE'],
  [['a/**=image,'], 'artifacts.allow has the entry "": expected PATTERN=TYPE'],
  [['A=image'], /^artifacts\.allow: .*"A" is not a repository pattern/],
])('%j is not a setting', (setting, message) => expect(() => allowedTypes(setting)).toThrow(message))

test.each(['prettyjws', 'json'])('allowed types: schema 1 (%s) counts as an image', (form) => {
  const mediaType = `application/vnd.docker.distribution.manifest.v1+${form}`
  const manifest = {
    mediaType,
    artifactType: undefined,
    subject: undefined,
    annotations: undefined,
    references: [],
  }
  const name = parseRepositoryName('a/b')
  expect(() => allowedTypes(['a/**=image'])(name, manifest)).not.toThrow()
  expect(() => allowedTypes(['a/**=application/*'])(name, manifest)).toThrow(
    /accepts only application\/\*, not image/,
  )
})
