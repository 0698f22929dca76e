import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import * as content from '../support/content.ts'
import { pushImage, pushManifest } from '../support/push.ts'
import { runScenario, runScenarios } from '../support/scenario.ts'
import { SERVERS, type TestServer } from '../support/server.ts'

const {
  EMPTY,
  OCI_MANIFEST,
  OCI_INDEX,
  DOCKER_MANIFEST,
  DOCKER_LIST,
  OCI_ARTIFACT,
  json,
  named,
  descriptor,
} = content
const layer = content.randomBlob(500)
const child = content.imageManifest(EMPTY, [layer])
const image = descriptor(child, OCI_MANIFEST, { platform: { os: 'linux', architecture: 'arm64' } })
const docker = {
  schemaVersion: 2,
  config: descriptor(EMPTY, 'application/vnd.docker.container.image.v1+json'),
}
const absent = named('absent')
const missingSubject = descriptor(absent, OCI_MANIFEST)
const foreignLayer = descriptor(absent, 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip')
const inner = content.imageIndex([image])

/** Manifests of every kind, each with the media type it is pushed with. */
const SHAPES: [name: string, type: string, manifest: content.Named][] = [
  ['an image', OCI_MANIFEST, content.imageManifest(EMPTY, [layer])],
  ['an image without layers', OCI_MANIFEST, content.imageManifest(EMPTY, [])],
  [
    'an image without mediaType',
    OCI_MANIFEST,
    json({ schemaVersion: 2, config: descriptor(EMPTY, 'a/b'), layers: [] }),
  ],
  [
    'spaces and an order of its own',
    OCI_MANIFEST,
    named(`\n{ "layers" : [],\t"config":${JSON.stringify(descriptor(EMPTY, 'a/é'))},"schemaVersion":2}\n\n`),
  ],
  ['an index', OCI_INDEX, content.imageIndex([image])],
  ['an index of an index', OCI_INDEX, content.imageIndex([descriptor(inner, OCI_INDEX)])],
  ['an empty index', OCI_INDEX, content.imageIndex([])],
  [
    'an index with artifactType, subject and annotations',
    OCI_INDEX,
    content.imageIndex([], { artifactType: 'a/b', annotations: { a: 'b' }, subject: missingSubject }),
  ],
  [
    'a cache of BuildKit: an index of blobs',
    OCI_INDEX,
    content.imageIndex([
      descriptor(layer, content.OCI_LAYER),
      descriptor(EMPTY, 'application/vnd.buildkit.cacheconfig.v0'),
    ]),
  ],
  ['an index whose child is not here', OCI_INDEX, content.imageIndex([descriptor(absent, OCI_MANIFEST)])],
  [
    'an image of Docker',
    DOCKER_MANIFEST,
    json({
      ...docker,
      mediaType: DOCKER_MANIFEST,
      layers: [descriptor(layer, 'application/vnd.docker.image.rootfs.diff.tar.gzip')],
    }),
  ],
  ['a list of Docker', DOCKER_LIST, json({ schemaVersion: 2, mediaType: DOCKER_LIST, manifests: [image] })],
  [
    'an artifact',
    OCI_MANIFEST,
    content.imageManifest(EMPTY, [layer], { artifactType: 'application/x.sbom' }),
  ],
  [
    'an artifact of the old kind',
    OCI_ARTIFACT,
    json({ mediaType: OCI_ARTIFACT, artifactType: 'a/b', blobs: [descriptor(layer, 'a/b')] }),
  ],
  ['a subject that is not here', OCI_MANIFEST, content.imageManifest(EMPTY, [], { subject: missingSubject })],
  [
    'a layer that need not be here',
    OCI_MANIFEST,
    json({ schemaVersion: 2, config: descriptor(EMPTY, 'a/b'), layers: [foreignLayer] }),
  ],
  [
    'data in its descriptors',
    OCI_MANIFEST,
    json({ schemaVersion: 2, config: descriptor(EMPTY, 'a/b', { data: 'e30=' }), layers: [] }),
  ],
  [
    'fields of a later time',
    OCI_MANIFEST,
    content.imageManifest(EMPTY, [], { future: [{}], 'org.example': null }),
  ],
  ['a type that a browser would run', 'text/html', json({ a: '<script>alert(1)</script>' })],
  ['a type that nobody knows', 'application/vnd.example.thing.v9+json', json({ anything: ['goes'] })],
]

for (const [kind, start] of SERVERS) {
  describe(`manifests, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
      await pushImage(server, 'a/b', child, [layer])
      await pushManifest(server, 'a/b', inner, { type: OCI_INDEX })
    }, 60_000)
    afterAll(() => server.stop())

    test.each(SHAPES)('%s is served byte for byte', async (_, type, manifest) => {
      const pushed = await pushManifest(server, 'a/b', manifest, { reference: 'shape', type })
      expect(pushed.headers.get('location')).toBe(`/v2/a/b/manifests/${manifest.digest}`)
      expect(pushed.headers.get('docker-content-digest')).toBe(manifest.digest)
      const has = {
        'content-type': type,
        'content-length': `${manifest.bytes.length}`,
        'docker-content-digest': manifest.digest,
        etag: `"${manifest.digest}"`,
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; sandbox",
      }
      for (const reference of ['shape', manifest.digest]) {
        const path = `/v2/a/b/manifests/${reference}`
        await runScenario(server, { name: '', path, status: 200, has, content: manifest })
        await runScenario(server, { name: '', method: 'HEAD', path, status: 200, has, content: '' })
      }
    })

    test('the type is the pushed one without parameters, whatever the client accepts', async () => {
      const manifest = content.imageManifest(EMPTY, [])
      await pushManifest(server, 'a/b', manifest, {
        reference: 'type',
        type: `${OCI_MANIFEST}; charset=utf-8`,
      })
      for (const accept of [OCI_INDEX, OCI_MANIFEST, '*/*', DOCKER_MANIFEST, 'text/html']) {
        const has = { 'content-type': OCI_MANIFEST }
        const path = '/v2/a/b/manifests/type'
        await runScenario(server, {
          name: '',
          path,
          headers: { accept },
          status: 200,
          has,
          content: manifest,
        })
      }
    })

    test('one pushed without a Content-Type has the type of its mediaType', async () => {
      const { bytes } = content.imageManifest(EMPTY, [])
      const response = await server.fetch('/v2/a/b/manifests/own', { method: 'PUT', body: bytes })
      expect(response.status).toBe(201)
      const has = { 'content-type': OCI_MANIFEST }
      await runScenario(server, { name: '', path: '/v2/a/b/manifests/own', status: 200, has })
    })

    test('one pushed again with another type is served with that type', async () => {
      const manifest = json({ schemaVersion: 2, config: descriptor(EMPTY, 'a/b'), layers: [] })
      for (const type of [OCI_MANIFEST, DOCKER_MANIFEST, OCI_MANIFEST]) {
        await pushManifest(server, 'a/b', manifest, { type })
        const has = { 'content-type': type }
        await runScenario(server, {
          name: '',
          path: `/v2/a/b/manifests/${manifest.digest}`,
          status: 200,
          has,
        })
      }
    })

    test('a push moves the tag immediately', async () => {
      for (let round = 0; round < 30; round++) {
        const manifest = content.imageManifest(EMPTY, [], { annotations: { round: `${round % 7}` } })
        await pushManifest(server, 'a/b', manifest, { reference: 'moving' })
        const has = { 'docker-content-digest': manifest.digest }
        await runScenario(server, {
          name: '',
          path: '/v2/a/b/manifests/moving',
          status: 200,
          has,
          content: manifest,
        })
      }
    })

    test('a push with a subject returns OCI-Subject, others do not', async () => {
      const subject = descriptor(child, OCI_MANIFEST)
      const referrers: [content.Named, string][] = [
        [content.imageManifest(EMPTY, [], { subject }), OCI_MANIFEST],
        [content.imageIndex([], { subject }), OCI_INDEX],
      ]
      for (const [manifest, type] of referrers) {
        const pushed = await pushManifest(server, 'a/b', manifest, { type })
        expect(pushed.headers.get('oci-subject')).toBe(child.digest)
      }
      expect((await pushManifest(server, 'a/b', child)).headers.has('oci-subject')).toBe(false)
    })

    runScenarios(
      () => server,
      [
        {
          name: 'an unknown tag',
          path: '/v2/a/b/manifests/none',
          status: 404,
          codes: ['MANIFEST_UNKNOWN'],
          lacks: ['etag'],
        },
        {
          name: 'an unknown digest',
          path: `/v2/a/b/manifests/${absent.digest}`,
          status: 404,
          codes: ['MANIFEST_UNKNOWN'],
        },
        {
          name: 'an unknown repository',
          path: '/v2/x/manifests/latest',
          status: 404,
          codes: ['NAME_UNKNOWN'],
        },
        {
          name: 'a blob is no manifest',
          path: `/v2/a/b/manifests/${layer.digest}`,
          status: 404,
          codes: ['MANIFEST_UNKNOWN'],
        },
        {
          name: 'a manifest is no blob',
          path: `/v2/a/b/blobs/${child.digest}`,
          status: 404,
          codes: ['BLOB_UNKNOWN'],
        },
      ],
    )
  })
}
