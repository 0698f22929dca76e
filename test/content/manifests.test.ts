import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  DOCKER_MANIFEST,
  descriptor,
  digestOf,
  EMPTY,
  imageIndex,
  imageManifest,
  json,
  type Named,
  named,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_MANIFEST,
} from '../support/content.ts'
import { pushBlob, pushManifest } from '../support/push.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

interface Page {
  items: Record<string, unknown>[]
  nextCursor?: string
}

let clock = Date.UTC(2026, 0, 1)
let server: TestServer
beforeAll(async () => {
  server = await startInProcess({ now: () => clock })
})
afterAll(() => server.stop())

const base = named('base layer')
const top = named('top')
const config = json({
  created: '2024-05-06T07:08:09.123456789Z',
  author: 'somebody',
  os: 'linux',
  architecture: 'arm64',
  variant: 'v8',
  config: {
    Labels: { 'org.opencontainers.image.title': 'app', wrong: 7 },
    Env: ['A=b'],
    Cmd: ['serve'],
    Entrypoint: ['/app'],
    ExposedPorts: { '80/tcp': {} },
    User: '1000',
    WorkingDir: '/srv',
  },
  history: [
    { created: '2024-05-06T07:08:09Z', created_by: '/bin/sh -c #(nop) ADD file:1 in / ' },
    { created_by: '/bin/sh -c #(nop)  CMD ["serve"]', empty_layer: true },
    { created_by: '/bin/sh -c make', comment: 'buildkit' },
  ],
})
const image = imageManifest(config, [base, top], { annotations: { note: 'Grüße' } })

const at = (repository: string, rest = '') =>
  `/api/v1/repositories/${encodeURIComponent(repository)}/manifests${rest}`

async function ask<T = Record<string, unknown>>(method: string, path: string, status = 200): Promise<T> {
  const response = await server.fetch(path, { method })
  const text = await response.text()
  expect([response.status, response.status === status ? '' : text]).toEqual([status, ''])
  return JSON.parse(text || 'null') as T
}

async function push(
  repository: string,
  manifest: Named,
  blobs: Named[],
  reference?: string,
  type = OCI_MANIFEST,
) {
  for (const blob of [EMPTY, ...blobs]) await pushBlob(server, repository, blob)
  await pushManifest(server, repository, manifest, { type, ...(reference && { reference }) })
}

describe('manifests: an image', () => {
  beforeAll(() => push('team/app', image, [config, base, top], 'latest'))

  test('is described by its layers, config and history', async () => {
    const layers = [
      { digest: base.digest, createdBy: 'ADD file:1 in /', exists: true },
      { digest: top.digest, createdBy: 'RUN make', exists: true },
    ]
    const answer = await ask('GET', at('team/app', '/latest'))
    expect(answer).toMatchObject({
      digest: image.digest,
      kind: 'Container image',
      mediaType: OCI_MANIFEST,
      tags: ['latest'],
      bytes: image.bytes.length,
      pushedAt: new Date(clock).toISOString(),
      truncated: false,
      manifests: [],
      totalBytes: image.bytes.length + config.bytes.length + base.bytes.length + top.bytes.length,
      config: { digest: config.digest, mediaType: OCI_CONFIG, bytes: config.bytes.length },
      layers,
      annotations: { note: 'Grüße' },
      labels: { 'org.opencontainers.image.title': 'app' },
      image: {
        platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
        createdAt: '2024-05-06T07:08:09.123Z',
        author: 'somebody',
        entrypoint: ['/app'],
        command: ['serve'],
        environment: ['A=b'],
        user: '1000',
        workingDirectory: '/srv',
        ports: ['80/tcp'],
        volumes: [],
      },
    })
    expect(answer.history as unknown).toEqual([
      { createdAt: '2024-05-06T07:08:09.000Z', createdBy: 'ADD file:1 in /', layer: base.digest },
      { createdBy: 'CMD ["serve"]' },
      { createdBy: 'RUN make', comment: 'buildkit', layer: top.digest },
    ])
  })

  test('is found by each of its digests', async () => {
    const digest = digestOf(image.bytes, 'sha512')
    await pushManifest(server, 'team/app', image, { reference: digest })
    expect(await ask('GET', at('team/app', `/${digest}`))).toMatchObject({ digest, kind: 'Container image' })
    expect(await ask('GET', at('team/app', `/${image.digest}`))).toMatchObject({ digest: image.digest })
  })

  test('is returned byte for byte, with headers that stop browsers from rendering it', async () => {
    const response = await server.fetch(at('team/app', '/latest/raw'))
    expect(Buffer.from(await response.bytes()).equals(image.bytes)).toBe(true)
    expect(response.headers.get('content-type')).toBe(OCI_MANIFEST)
    expect(response.headers.get('docker-content-digest')).toBe(image.digest)
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('content-security-policy')).toContain('sandbox')
  })

  test('keeps its entity tag until one of its tags moves', async () => {
    const etagOf = async () => (await server.fetch(at('team/app', '/latest'))).headers.get('etag')
    const etag = await etagOf()
    expect(await etagOf()).toBe(etag)
    await push('team/app', image, [config, base, top], 'moving')
    await ask('DELETE', '/api/v1/repositories/team%2Fapp/tags/moving', 204)
    expect(await etagOf()).not.toBe(etag)
  })
})

test('manifests: an index has its platforms and its total size', async () => {
  const small = json({ os: 'linux', architecture: 'amd64' })
  const other = imageManifest(small, [base])
  await push('index/app', other, [small, base])
  await push('index/app', image, [config, base, top])
  const absent = json({ schemaVersion: 2 })
  const platform = (architecture: string) => ({ platform: { os: 'linux', architecture } })
  const index = imageIndex([
    descriptor(other, OCI_MANIFEST, platform('amd64')),
    descriptor(image, OCI_MANIFEST, { platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } }),
    descriptor(absent, OCI_MANIFEST, platform('s390x')),
  ])
  await push('index/app', index, [], 'latest', OCI_INDEX)
  const shared = [config, small, base, top, other, image, absent, index]
  expect(await ask('GET', at('index/app', '/latest'))).toMatchObject({
    kind: 'Image index',
    totalBytes: shared.reduce((sum, { bytes }) => sum + bytes.length, 0),
    layers: [],
    manifests: [
      { digest: other.digest, platform: { architecture: 'amd64' }, exists: true, kind: 'Container image' },
      { digest: image.digest, platform: { architecture: 'arm64', variant: 'v8' }, exists: true },
      { digest: absent.digest, exists: false, totalBytes: absent.bytes.length },
    ],
  })
})

test.each([
  ['without a config here', imageManifest(named('{"os":1}'), []), {}],
  ['with a config that is no JSON', imageManifest(named('<xml>'), []), {}],
  ['with a config of other types', imageManifest(json({ history: {}, config: [], os: 5 }), []), {}],
  ['of Docker', { ...imageManifest(EMPTY, []), type: DOCKER_MANIFEST }, {}],
] as const)('an image %s is described, too', async (_, manifest) => {
  const text = new TextDecoder().decode(manifest.bytes)
  const isDocker = 'type' in manifest
  const stored = isDocker ? named(text.replace(OCI_MANIFEST, DOCKER_MANIFEST)) : manifest
  for (const blob of ['{"os":1}', '<xml>']) await pushBlob(server, 'odd/app', named(blob))
  await pushBlob(server, 'odd/app', json({ history: {}, config: [], os: 5 }))
  await push('odd/app', stored, [], stored.digest, isDocker ? DOCKER_MANIFEST : OCI_MANIFEST)
  const answer = await ask('GET', at('odd/app', `/${stored.digest}`))
  expect(answer).toMatchObject({
    kind: 'Container image',
    layers: [],
    history: [],
    labels: {},
    truncated: false,
  })
  expect(Object.keys(answer)).not.toContain('image')
})

test('manifests: an image with a very large manifest has its kind', async () => {
  const large = imageManifest(EMPTY, [], { annotations: { text: 'x'.repeat(70_000) } })
  await push('large/app', large, [], 'latest')
  expect(await ask('GET', at('large/app', '/latest'))).toMatchObject({ kind: 'Container image' })
  expect((await ask<Page>('GET', at('large/app'))).items).toMatchObject([{ kind: 'Container image' }])
})

test('manifests: an artifact has its kind, and the names of its files as annotations', async () => {
  const chart = named('a chart')
  const manifest = json({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(EMPTY, 'application/vnd.cncf.helm.config.v1+json'),
    layers: [
      descriptor(chart, 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', {
        annotations: { 'org.opencontainers.image.title': 'app-1.tgz' },
      }),
    ],
  })
  await push('charts/app', manifest, [chart], '1.0')
  expect(await ask('GET', at('charts/app', '/1.0'))).toMatchObject({
    kind: 'Helm chart',
    layers: [{ bytes: 7, annotations: { 'org.opencontainers.image.title': 'app-1.tgz' } }],
  })
})

test('manifests: the list is newest first and paginated', async () => {
  const pushed: string[] = []
  for (let n = 0; n < 5; n++) {
    const manifest = imageManifest(EMPTY, [], { annotations: { n: `${n}` } })
    await push('listed/app', manifest, [], n === 0 ? 'zero' : undefined)
    pushed.unshift(manifest.digest)
  }
  const seen: unknown[] = []
  for (let last: string | undefined = ''; last !== undefined; ) {
    const page: Page = await ask<Page>('GET', at('listed/app', `?limit=2&cursor=${last}`))
    seen.push(...page.items)
    last = page.nextCursor
  }
  expect(seen.map((one) => (one as { digest: string }).digest)).toEqual(pushed)
  expect(seen.at(-1)).toMatchObject({ tags: ['zero'], kind: 'Container image' })
  expect(seen[0]).toMatchObject({ tags: [], untaggedAt: new Date(clock).toISOString() })
})

test('manifests: a deleted one is listed with its deadline, and is restored with its tags, byte for byte', async () => {
  await push('back/app', image, [config, base, top], 'latest')
  await push('back/app', image, [], 'v1')
  clock += 1000
  await ask('DELETE', at('back/app', `/${image.digest}`), 204)
  await ask('GET', at('back/app', '/latest'), 404)
  expect((await ask<Page>('GET', at('back/app'))).items).toEqual([])
  const { items } = await ask<Page>('GET', at('back/app', '?deleted=true'))
  expect(items).toMatchObject([
    {
      digest: image.digest,
      deletedAt: new Date(clock).toISOString(),
      restorableUntil: new Date(clock + 14 * 86_400_000).toISOString(),
    },
  ])
  const restored = await ask('POST', at('back/app', `/${image.digest}/restore`))
  expect(restored).toEqual({ tags: ['latest', 'v1'] })
  for (const tag of ['latest', 'v1']) {
    const pulled = await server.fetch(`/v2/back/app/manifests/${tag}`)
    expect(Buffer.from(await pulled.bytes()).equals(image.bytes)).toBe(true)
  }
  const layer = await server.fetch(`/v2/back/app/blobs/${base.digest}`)
  expect(Buffer.from(await layer.bytes()).equals(base.bytes)).toBe(true)
  clock += 15 * 86_400_000
  expect((await ask<Page>('GET', at('back/app', '?deleted=true'))).items).toEqual([])
})

test('manifests: a delete checks its precondition', async () => {
  await push('conditional/app', image, [config, base, top], 'latest')
  const { headers } = await server.fetch(at('conditional/app', `/${image.digest}`))
  const remove = (etag: string) =>
    server.fetch(at('conditional/app', `/${image.digest}`), {
      method: 'DELETE',
      headers: { 'if-match': etag },
    })
  expect((await remove('"other"')).status).toBe(412)
  expect((await remove(headers.get('etag') ?? '')).status).toBe(204)
})

test.each([
  ['GET', at('none'), 404],
  ['GET', at('none', '/latest'), 404],
  ['GET', at('team/app', '/none'), 404],
  ['GET', at('team/app', '/none/raw'), 404],
  ['GET', at('team/app', '/none/referrers'), 404],
  ['GET', at('team/app', '/sha256:x'), 400],
  ['GET', at('team/app', '?cursor=x'), 400],
  ['DELETE', at('team/app', '/latest'), 400],
  ['POST', at('team/app', `/${named('never').digest}/restore`), 404],
] as const)('%s %s is %d', async (method, path, status) => {
  await ask(method, path, status)
})
