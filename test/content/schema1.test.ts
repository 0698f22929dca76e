import { expect, test } from 'bun:test'
import { json, named } from '../support/content.ts'
import { pushBlob, pushManifest } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'

const SCHEMA_1 = 'application/vnd.docker.distribution.manifest.v1+json'

test('manifests: Docker schema 1 is described by its V1 images, base first', async () => {
  await using server = await startInProcess({ settings: { 'docker.schema1.unsigned': 'true' } })
  const [base, empty, top] = [named('base'), named('empty'), named('top layer')]
  const history = [
    {
      id: 'c'.repeat(64),
      parent: 'b'.repeat(64),
      os: 'linux',
      architecture: 'amd64',
      container_config: { Cmd: ['/bin/sh', '-c', 'make "Grüße"'] },
      config: { Labels: { maintainer: 'somebody' }, Cmd: ['serve'] },
      created: '2015-01-02T03:04:05Z',
    },
    {
      id: 'b'.repeat(64),
      parent: 'a'.repeat(64),
      throwaway: true,
      container_config: { Cmd: ['/bin/sh', '-c', '#(nop) CMD ["sh"]'] },
    },
    { id: 'a'.repeat(64), container_config: { Cmd: ['/bin/sh', '-c', '#(nop) ADD file:1 in /'] } },
  ]
  const manifest = json({
    schemaVersion: 1,
    name: 'old/app',
    tag: 'latest',
    architecture: 'amd64',
    fsLayers: [top, empty, base].map(({ digest }) => ({ blobSum: digest })),
    history: history.map((image) => ({ v1Compatibility: JSON.stringify(image) })),
  })
  for (const blob of [base, empty, top]) await pushBlob(server, 'old/app', blob)
  await pushManifest(server, 'old/app', manifest, { type: SCHEMA_1, reference: 'latest' })
  const response = await server.fetch('/api/v1/repositories/old%2Fapp/manifests/latest')
  expect(await response.json()).toMatchObject({
    kind: 'Docker schema 1 image',
    mediaType: SCHEMA_1,
    tags: ['latest'],
    totalBytes: manifest.bytes.length + base.bytes.length + empty.bytes.length + top.bytes.length,
    layers: [
      { digest: base.digest, createdBy: 'ADD file:1 in /', exists: true },
      { digest: empty.digest, createdBy: 'CMD ["sh"]' },
      { digest: top.digest, createdBy: 'RUN make "Grüße"' },
    ],
    history: [
      { createdBy: 'ADD file:1 in /', layer: base.digest },
      { createdBy: 'CMD ["sh"]', layer: empty.digest },
      { createdBy: 'RUN make "Grüße"', layer: top.digest, createdAt: '2015-01-02T03:04:05.000Z' },
    ],
    image: { platform: { os: 'linux', architecture: 'amd64' }, command: ['serve'] },
    labels: { maintainer: 'somebody' },
  })
})
