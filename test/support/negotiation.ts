import { expect } from 'bun:test'
import { parseSchema1 } from '../../src/docker/schema1.ts'
import { parseSignedDocument, verifySignatures } from '../../src/docker/signed-document.ts'
import {
  type Descriptor,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  descriptor,
  digestOf,
  json,
  type Named,
  named,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
  randomBlob,
} from './content.ts'
import { schema1Text, signed, testKey } from './jws.ts'
import { pushBlob, pushManifest } from './push.ts'
import type { TestServer } from './server.ts'

export const SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
export const UNSIGNED = 'application/vnd.docker.distribution.manifest.v1+json'
export const EMPTY_LAYER = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4'
const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
const DOCKER_LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip'

const [base, leaf] = [randomBlob(100), randomBlob(100)]
const config = json({
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [] },
  author: 'Zoë 🐳',
  history: [
    { created_by: 'ADD 日本' },
    { created_by: 'ENV a=б', empty_layer: true },
    { created_by: 'RUN é' },
  ],
})
export const docker = json({
  schemaVersion: 2,
  mediaType: DOCKER_MANIFEST,
  config: descriptor(config, DOCKER_CONFIG),
  layers: [descriptor(base, DOCKER_LAYER), descriptor(leaf, DOCKER_LAYER)],
})
const oci = (layers: Descriptor[], type = OCI_CONFIG, more: object = {}) =>
  json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: descriptor(config, type), layers, ...more })
const ociLayers = [descriptor(base, OCI_LAYER), descriptor(leaf, OCI_LAYER)]
export const image = oci(ociLayers)
const arm = oci(ociLayers, OCI_CONFIG, { annotations: { a: 'arm' } })
const zstd = oci([descriptor(base, `${OCI_LAYER.replace('gzip', 'zstd')}`)])
const chart = oci([], 'application/vnd.cncf.helm.config.v1+json')
const platform = (architecture: string) => ({ platform: { os: 'linux', architecture } })
const list = json({
  schemaVersion: 2,
  mediaType: DOCKER_LIST,
  manifests: [
    descriptor(arm, OCI_MANIFEST, platform('arm64')),
    descriptor(docker, DOCKER_MANIFEST, platform('amd64')),
  ],
})
const index = (entry: Named, architecture: string) =>
  json({
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: [descriptor(entry, OCI_MANIFEST, platform(architecture))],
  })
const [ociIndex, armIndex] = [index(image, 'amd64'), index(arm, 'arm64')]
export const old = signed(schema1Text('a/b', 'old', [leaf.digest, base.digest]), [testKey('ES256')])
export const oldPayload = named(schema1Text('a/b', 'old', [leaf.digest, base.digest]))
const oldList = json({
  schemaVersion: 2,
  mediaType: DOCKER_LIST,
  manifests: [{ mediaType: SIGNED, digest: oldPayload.digest, size: old.length, ...platform('amd64') }],
})

/** The stored manifests by tag. */
export const STORED: Record<string, [type: string, manifest: Named]> = {
  docker: [DOCKER_MANIFEST, docker],
  oci: [OCI_MANIFEST, image],
  arm: [OCI_MANIFEST, arm],
  zstd: [OCI_MANIFEST, zstd],
  chart: [OCI_MANIFEST, chart],
  list: [DOCKER_LIST, list],
  index: [OCI_INDEX, ociIndex],
  'arm-index': [OCI_INDEX, armIndex],
  'old-list': [DOCKER_LIST, oldList],
}

/** Pushes all of them. */
export async function fill(server: TestServer): Promise<TestServer> {
  for (const blob of [config, base, leaf]) await pushBlob(server, 'a/b', blob)
  await pushManifest(
    server,
    'a/b',
    { bytes: old, digest: oldPayload.digest },
    { reference: 'old', type: SIGNED },
  )
  for (const [reference, [type, manifest]] of Object.entries(STORED)) {
    await pushManifest(server, 'a/b', manifest, { reference, type })
  }
  return server
}

export interface Sent {
  status: number
  type: string
  digest: string
  bytes: Buffer
  headers: Headers
}

/** Pulls a manifest; checks that HEAD returns the same headers, and that the digest matches the bytes. */
export async function pull(
  server: TestServer,
  reference: string,
  accept: string | string[] | null,
  agent = 'some-client/1.0',
): Promise<Sent> {
  const headers = new Headers({ 'user-agent': agent })
  for (const line of accept === null ? [] : [accept].flat()) headers.append('accept', line)
  if (accept === null) headers.delete('accept')
  const path = `/v2/a/b/manifests/${reference}`
  const response = await server.fetch(path, { headers })
  const bytes = Buffer.from(await response.bytes())
  const head = await server.fetch(path, { method: 'HEAD', headers })
  expect(head.status).toBe(response.status)
  const of = (answer: Response) => {
    const names = ['content-type', 'content-length', 'docker-content-digest', 'etag', 'vary', 'warning']
    return names.map((name) => answer.headers.get(name))
  }
  if (response.ok) expect(of(head)).toEqual(of(response))
  const type = response.headers.get('content-type') ?? ''
  const digest = response.headers.get('docker-content-digest') ?? ''
  if (response.status === 200) {
    expect(response.headers.get('content-length')).toBe(String(bytes.length))
    expect(response.headers.get('etag')).toBe(`"${digest}"`)
    expect(digestOf(parseSignedDocument(bytes).payload)).toBe(digest)
    headers.set('if-none-match', `"${digest}"`)
    const same = await server.fetch(path, { headers })
    expect([same.status, same.headers.get('vary')]).toEqual([304, response.headers.get('vary')])
  }
  return { status: response.status, type, digest, bytes, headers: response.headers }
}

/** Expects a conversion: other bytes than the stored ones, and a warning. */
export function expectConverted(sent: Sent, tag: string, type = SIGNED): void {
  expect([sent.status, sent.type, sent.headers.get('vary')]).toEqual([200, type, 'Accept'])
  expect(sent.headers.get('warning')).toMatch(/^299 - "[ -!#-~]+"$/)
  const document = parseSignedDocument(sent.bytes)
  expect(document.signatures.length).toBe(type === SIGNED ? 1 : 0)
  verifySignatures(document)
  const { name, tag: own, layers } = parseSchema1(document.payload)
  expect([name, own]).toEqual(['a/b', tag])
  expect<string[]>(layers.map(({ blobSum }) => blobSum)).toEqual([leaf.digest, EMPTY_LAYER, base.digest])
}

export function expectStored(sent: Sent, tag: string): void {
  const [type, manifest] = STORED[tag]!
  expect([sent.status, sent.type, sent.digest]).toEqual([200, type, manifest.digest])
  expect(sent.bytes.equals(manifest.bytes)).toBe(true)
  expect(sent.headers.get('warning')).toBeNull()
}
