import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { request } from 'node:http'
import { join } from 'node:path'
import { type Descriptor, makeImage, sha256, writeLayout } from '../../scripts/lib/image.ts'
import { startPeer } from '../../scripts/lib/peers.ts'
import { Registry } from '../../scripts/lib/registry.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { EMPTY_LAYER } from '../../src/docker/conversion.ts'
import { parseSignedDocument, verifySignatures } from '../../src/docker/signed-document.ts'
import { openShell } from './client.ts'
import { containersHome } from './homes.ts'
import { type Format, layersOfFolder, makeSamples, mediaTypes, type Sample } from './samples.ts'

/**
 * Pushes the same content to the executable and to Debian's docker-registry 2.8 with schema 1 enabled, sends both the same
 * requests, and compares the responses. The table explains each intended difference.
 */

/** The addresses of the registries, `host:port`. */
let cay: string
let peer: string
const stack = new AsyncDisposableStack()
beforeAll(async () => {
  const tools = await bringTools(['docker-registry'])
  peer = `127.0.0.1:${stack.use(await startPeer(tools, 'docker-registry')).port}`
  cay = stack.use(await startServer()).address
})
afterAll(() => stack.disposeAsync())

/** A registry's response. */
interface Answer {
  status: number
  headers: Record<string, string>
  body: Buffer
}

/** Requests a manifest with exactly these headers, without a default Accept. */
function ask(
  address: string,
  path: string,
  headers: Record<string, string>,
  method: 'GET' | 'HEAD' = 'GET',
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const sent = request(`http://${address}/v2/${path}`, { method, headers }, async (response) => {
    const body = Buffer.concat(await Array.fromAsync<Buffer>(response))
    const { statusCode: status = 0 } = response
    resolve({ status, headers: response.headers as Record<string, string>, body })
  })
  sent.on('error', reject)
  sent.end()
  return promise
}

/** The result of a pull by tag: the pushed bytes, the amd64 image of an index, or a conversion to schema 1. */
type Outcome = 'stored' | 'child' | 'schema1' | 'unsigned schema1' | '404'

/** The result of both registries, or the result of each and the reason for the difference. */
type Expected = Outcome | { cay: Outcome; peer: Outcome; why: string }

const { schema1, schema2, list, oci, index } = mediaTypes
const unsigned = 'application/vnd.docker.distribution.manifest.v1+json'
const json = 'application/json'

/** A client: its User-Agent, and its Accept header. */
const ASKERS = {
  'curl: nothing': { agent: 'curl/8.0' },
  'curl: */*': { agent: 'curl/8.0', accept: '*/*' },
  'curl: application/json': { agent: 'curl/8.0', accept: json },
  'curl: application/*': { agent: 'curl/8.0', accept: 'application/*' },
  'curl: text/html': { agent: 'curl/8.0', accept: 'text/html' },
  'schema 1': { agent: 'x/1', accept: schema1 },
  'schema 1 without signatures': { agent: 'x/1', accept: unsigned },
  'schema 2': { agent: 'x/1', accept: schema2 },
  'schema 2 and lists': { agent: 'x/1', accept: `${schema2}, ${list}` },
  lists: { agent: 'x/1', accept: list },
  OCI: { agent: 'x/1', accept: oci },
  'OCI and indexes': { agent: 'x/1', accept: `${oci}, ${index}` },
  indexes: { agent: 'x/1', accept: index },
  'containerd: all, and */*': {
    agent: 'containerd/1.7',
    accept: [schema2, list, oci, index, '*/*'].join(', '),
  },
  'docker 1.9: nothing': { agent: 'docker/1.9.1 go/go1.4.2' },
  'docker 1.9: */*': { agent: 'docker/1.9.1 go/go1.4.2', accept: '*/*' },
  'docker 1.10: schema 1 and 2, lists': {
    agent: 'docker/1.10.3 go/go1.5.3',
    accept: [schema2, list, schema1, json].join(', '),
  },
  'docker 1.10: nothing': { agent: 'docker/1.10.3 go/go1.5.3' },
} satisfies Record<string, { agent: string; accept?: string }>

type Principal = keyof typeof ASKERS

const asStored = 'a client without Accept gets the pushed manifest, as the OCI specification says'
const namesNoSchema1 = 'only who names schema 1, or an old Docker, gets it'
const noOci = 'OCI content is given, converted or as it is, where the peer hides it'

const storedNotSchema1 = (why: string): Expected => ({ cay: 'stored', peer: 'schema1', why })
const givenNotHidden = (cay: Outcome): Expected => ({ cay, peer: '404', why: noOci })
const unsignedAsAsked: Exclude<Expected, Outcome> = {
  cay: 'unsigned schema1',
  peer: 'schema1',
  why: 'who reads only manifests without signatures gets one',
}

/** A manifest of Docker that can be converted. The peer converts for everybody who does not name schema 2. */
const CONVERTIBLE: Record<Principal, Expected> = {
  ...everyone(storedNotSchema1(namesNoSchema1)),
  'curl: nothing': storedNotSchema1(asStored),
  'curl: */*': storedNotSchema1(asStored),
  'curl: application/json': storedNotSchema1(asStored),
  'curl: application/*': storedNotSchema1(asStored),
  'curl: text/html': storedNotSchema1(asStored),
  'schema 1': 'schema1',
  'schema 1 without signatures': unsignedAsAsked,
  'schema 2': 'stored',
  'schema 2 and lists': 'stored',
  'containerd: all, and */*': 'stored',
  'docker 1.9: nothing': 'schema1',
  'docker 1.9: */*': 'schema1',
  'docker 1.10: schema 1 and 2, lists': 'stored',
}

/** OCI content, which the peer hides from those who do not name its type. */
const HIDDEN: Record<Principal, Expected> = {
  ...everyone(givenNotHidden('stored')),
  'schema 1': givenNotHidden('schema1'),
  'schema 1 without signatures': givenNotHidden('unsigned schema1'),
  OCI: 'stored',
  'OCI and indexes': 'stored',
  'containerd: all, and */*': 'stored',
  'docker 1.9: nothing': givenNotHidden('schema1'),
  'docker 1.9: */*': givenNotHidden('schema1'),
  'docker 1.10: schema 1 and 2, lists': givenNotHidden('schema1'),
}

const GRID: Record<Format, Record<Principal, Expected>> = {
  schema1: { ...everyone('stored'), 'schema 1 without signatures': { ...unsignedAsAsked, peer: 'stored' } },
  schema2: CONVERTIBLE,
  list: { ...CONVERTIBLE, 'schema 2': 'child', lists: 'stored' },
  oci: HIDDEN,
  index: { ...HIDDEN, OCI: givenNotHidden('child'), indexes: 'stored' },
  artifact: {
    ...HIDDEN,
    'schema 1': '404',
    'schema 1 without signatures': '404',
    'docker 1.9: nothing': '404',
    'docker 1.9: */*': '404',
    'docker 1.10: schema 1 and 2, lists': givenNotHidden('stored'),
  },
}

function everyone(expected: Expected): Record<Principal, Expected> {
  const rows = Object.keys(ASKERS).map((principal) => [principal, expected])
  return Object.fromEntries(rows) as Record<Principal, Expected>
}

/** Both registries respond as the table says, to HEAD as to GET, and by digest with the stored bytes. */
describe.each(Object.keys(GRID) as Format[])('negotiation: %s', (format) => {
  const repository = `grid/${format}`
  let sample: Sample
  beforeAll(async () => {
    sample = (await makeSamples(repository, 'v'))[format]
    for (const address of [cay, peer]) await new Registry(address).pushContent(repository, 'v', sample)
  })
  test.each(Object.keys(ASKERS) as Principal[])('is asked for by %s', async (principal) => {
    const expected = GRID[format][principal]
    const both = typeof expected === 'string' ? { cay: expected, peer: expected } : expected
    const { agent, accept }: { agent: string; accept?: string } = ASKERS[principal]
    const headers = { 'user-agent': agent, ...(accept !== undefined && { accept }) }
    const outcomes = [
      await outcome(cay, repository, sample, headers),
      await outcome(peer, repository, sample, headers),
    ]
    expect(outcomes).toEqual([both.cay, both.peer])
    await tryHeaders(repository, sample, headers, both.cay)
  })
})

/** Returns the result of a pull by tag, which must be the same for HEAD and GET. */
async function outcome(
  address: string,
  repository: string,
  sample: Sample,
  headers: Record<string, string>,
): Promise<Outcome> {
  const got = await ask(address, `${repository}/manifests/v`, headers)
  const head = await ask(address, `${repository}/manifests/v`, headers, 'HEAD')
  expect(described(head)).toEqual(described(got))
  if (got.status === 404) return '404'
  expect(got.status).toBe(200)
  const digest = got.headers['docker-content-digest'] ?? ''
  const type = got.headers['content-type'] ?? ''
  if (digest === sample.descriptor.digest) return type === unsigned ? 'unsigned schema1' : 'stored'
  const children: Descriptor[] = JSON.parse(sample.manifest.toString()).manifests ?? []
  const child = children.find((one) => one.digest === digest)
  if (child !== undefined) {
    expect(child.platform?.architecture).toBe('amd64')
    return 'child'
  }
  if (type === unsigned) {
    expect(sha256(got.body)).toBe(digest)
    return 'unsigned schema1'
  }
  expect(type).toBe(schema1)
  const document = parseSignedDocument(got.body)
  verifySignatures(document)
  expect(sha256(document.payload)).toBe(digest)
  return 'schema1'
}

/** Expects what only cay promises: Vary, a note about the conversion, and the stored bytes by digest. */
async function tryHeaders(
  repository: string,
  sample: Sample,
  headers: Record<string, string>,
  expected: Outcome,
): Promise<void> {
  const { headers: got } = await ask(cay, `${repository}/manifests/v`, headers)
  expect(got.vary).toMatch(/accept/i)
  if (expected !== '404') expect(got.etag).toBe(`"${got['docker-content-digest']}"`)
  const isSchema1 = expected === 'schema1' || expected === 'unsigned schema1'
  const isConverted = isSchema1 && sample.format !== 'schema1'
  expect(got.warning ?? 'none').toMatch(isConverted ? /^299 - "/ : /^none$/)
  if (isSchema1 && !isConverted) return
  const stored = await ask(cay, `${repository}/manifests/${sample.descriptor.digest}`, headers)
  expect([stored.status, stored.headers['content-type']]).toEqual([200, sample.descriptor.mediaType])
  expect(stored.body.equals(sample.manifest)).toBe(true)
}

function described({ status, headers }: Answer): unknown[] {
  const names = ['content-type', 'content-length', 'docker-content-digest', 'etag', 'vary', 'warning']
  return [status, ...(status === 200 ? names.map((name) => headers[name]) : [])]
}

/** Pulls a manifest as a client that reads only schema 1. */
async function pullSchema1(address: string, repository: string, reference: string): Promise<Answer> {
  const answer = await ask(address, `${repository}/manifests/${reference}`, { accept: schema1 })
  expect(answer.status).toBe(200)
  return answer
}

interface V1 {
  id: string
  parent?: string
  throwaway?: boolean
  container_config?: { Cmd?: string[] }
  [field: string]: unknown
}

describe('conversion', () => {
  const repository = 'conversion'
  let samples: Awaited<ReturnType<typeof makeSamples>>
  beforeAll(async () => {
    samples = await makeSamples(repository, 'any')
    for (const format of ['schema2', 'list', 'oci', 'index'] as const) {
      const readers = format === 'schema2' || format === 'list' ? [cay, peer] : [cay]
      for (const address of readers)
        await new Registry(address).pushContent(repository, format, samples[format])
    }
  })

  /** Returns what clients read of a conversion: everything but signatures, with the fields in any order. */
  const convert = async (address: string, reference: string) => {
    const {
      signatures: _,
      tag: __,
      ...document
    } = JSON.parse((await pullSchema1(address, repository, reference)).body.toString())
    const history: V1[] = document.history.map((step: { v1Compatibility: string }) =>
      JSON.parse(step.v1Compatibility),
    )
    return { ...document, history }
  }
  /** Leaves out the leaf's command in the history: docker-registry takes it from the config only, and Quay does as cay does. */
  const convertWithoutCommand = async (address: string, format: Format) => {
    const { history, ...document } = await convert(address, format)
    const [{ container_config: _, ...leaf }, ...others] = history
    return { ...document, history: [leaf, ...others] }
  }

  test.each(['schema2', 'list'] as const)('%s is converted as docker-registry does', async (format) => {
    expect(await convertWithoutCommand(cay, format)).toEqual(await convertWithoutCommand(peer, format))
  })
  test('the last command of the history is kept', async () => {
    const [leaf] = (await convert(cay, 'schema2')).history
    expect(leaf.container_config).toEqual({ Cmd: ['CMD ["/usr/bin/tool"]'] })
  })
  test('an OCI image is converted as its schema 2 image is', async () =>
    expect(await convert(cay, 'oci')).toEqual(await convert(cay, 'schema2')))
  test('an index is converted as its image is', async () =>
    expect(await convert(cay, 'index')).toEqual(await convert(cay, 'oci')))
  test('layers, history, parents and ids are in order', async () => {
    const { fsLayers, history }: { fsLayers: { blobSum: string }[]; history: V1[] } = await convert(
      cay,
      'schema2',
    )
    const { layers, config } = JSON.parse(samples.schema2.manifest.toString())
    const [first, second, third] = layers.map(({ digest }: Descriptor) => digest)
    const { digest: empty } = EMPTY_LAYER
    expect(fsLayers.map(({ blobSum }) => blobSum)).toEqual([empty, third, second, empty, first])
    expect(history.map(({ throwaway }) => throwaway === true)).toEqual([true, false, false, true, false])
    expect(new Set(history.map(({ id }) => id)).size).toBe(history.length)
    for (const { id } of history) expect(id).toMatch(/^[0-9a-f]{64}$/)
    expect(history.map(({ parent }) => parent)).toEqual([...history.slice(1).map(({ id }) => id), undefined])
    const image = JSON.parse(Buffer.from(samples.schema2.blobs.get(config.digest)!).toString())
    const [leaf, ...others] = history
    expect(leaf).toMatchObject({
      config: image.config,
      os: 'linux',
      architecture: 'amd64',
      created: image.created,
    })
    expect(others.map((step) => step.container_config?.Cmd)).toEqual(
      image.history
        .slice(0, -1)
        .reverse()
        .map((step: { created_by: string }) => [step.created_by]),
    )
  })
  test('the digest is the same at each pull, and can be pulled', async () => {
    const digests = await Promise.all(['oci', 'oci'].map((tag) => pullSchema1(cay, repository, tag)))
    const [digest = '', again] = digests.map(({ headers }) => headers['docker-content-digest'])
    expect(again).toBe(digest)
    const { headers } = await pullSchema1(cay, repository, digest)
    expect([headers['docker-content-digest'], headers['content-type']]).toEqual([digest, schema1])
    expect(await convert(cay, digest)).toEqual(await convert(cay, 'oci'))
  })
  test('each layer of a conversion can be pulled, the empty one too', async () => {
    for (const { blobSum } of (await convert(cay, 'oci')).fsLayers) {
      const { headers } = await ask(cay, `${repository}/blobs/${blobSum}`, {}, 'HEAD')
      const { status, body } = await ask(cay, `${repository}/blobs/${blobSum}`, {})
      expect([status, headers['content-length']]).toEqual([200, String(body.length)])
      expect(Bun.gunzipSync(Uint8Array.from(body)).length).toBeGreaterThan(0)
    }
  })
})

describe('signatures', () => {
  const repository = 'signatures'
  const emptyLayer = Buffer.from(EMPTY_LAYER.base64, 'base64')
  let pushed: Sample
  beforeAll(async () => {
    const { schema1, schema2 } = await makeSamples(repository, 'signed')
    pushed = schema1
    for (const registry of [new Registry(cay), new Registry(peer)]) {
      await registry.pushContent(repository, 'converted', schema2)
      await registry.pushContent(repository, 'signed', schema1)
      await registry.pushBlob(repository, EMPTY_LAYER.digest, emptyLayer)
    }
  })
  /** Pulls a schema 1 manifest from one registry, and pushes the same bytes to the other. */
  const hand = async (from: string, to: string, tag: string) => {
    const { headers, body } = await pullSchema1(from, repository, tag)
    const digest = headers['docker-content-digest'] ?? ''
    const answer = await new Registry(to).pushManifest(repository, tag, body, schema1)
    expect(answer.headers.get('docker-content-digest')).toBe(digest)
    expect((await pullSchema1(to, repository, digest)).headers['docker-content-digest']).toBe(digest)
  }
  /** Pushes a schema 1 manifest that must be refused, and returns the codes of the errors. */
  const refusalCodes = async (address: string, repository: string, bytes: Uint8Array): Promise<string[]> => {
    const answer = await new Registry(address).putManifest(repository, 'signed', bytes, schema1)
    expect(answer.status).toBe(400)
    return answer.json<{ errors: { code: string }[] }>().errors.map(({ code }) => code)
  }
  const refusedByBoth = async (bytes: Uint8Array, codes: RegExp) => {
    for (const address of [peer, cay])
      for (const code of await refusalCodes(address, repository, bytes)) expect(code).toMatch(codes)
  }

  test('docker-registry accepts what cay signs', () => hand(cay, peer, 'converted'))
  test('cay accepts what docker-registry signs', () => hand(peer, cay, 'converted'))
  test('docker-registry accepts a signed manifest that was pushed to cay', () => hand(cay, peer, 'signed'))
  test('cay accepts a manifest that docker-registry converts and signs', () => hand(peer, cay, 'signed'))
  test('cay serves signed bytes as they were pushed', async () => {
    const got = await pullSchema1(cay, repository, pushed.descriptor.digest)
    expect(got.headers['content-type']).toBe(schema1)
    expect(got.body.equals(pushed.manifest)).toBe(true)
  })
  test('both refuse a changed manifest', () => {
    // Another architecture, with a name of the same length.
    const changed = pushed.manifest.toString('latin1').replace('"amd64"', '"arm64"')
    return refusedByBoth(Buffer.from(changed, 'latin1'), /MANIFEST_UNVERIFIED|MANIFEST_INVALID/)
  })
  test('both refuse a manifest without a signature', () => {
    const { signatures: _, ...rest } = JSON.parse(pushed.manifest.toString())
    return refusedByBoth(Buffer.from(JSON.stringify(rest)), /MANIFEST_INVALID/)
  })
  test('both refuse a manifest that lacks layers, and name each', async () => {
    const lacking = 'signatures/lacking'
    const { manifest } = (await makeSamples(lacking, 'signed')).schema1
    const { fsLayers } = JSON.parse(manifest.toString())
    const layers = new Set(fsLayers.map(({ blobSum }: { blobSum: string }) => blobSum))
    for (const address of [peer, cay]) {
      await new Registry(address).pushBlob(lacking, EMPTY_LAYER.digest, emptyLayer)
      const codes = await refusalCodes(address, lacking, manifest)
      expect(codes.filter((code) => code === 'MANIFEST_BLOB_UNKNOWN')).toHaveLength(layers.size - 1)
    }
  })
})

/** skopeo pushes each format to one registry, and copies it to the other one and back. */
describe.each([
  ['v2s1', schema1],
  ['v2s2', schema2],
  ['oci', oci],
])('skopeo --format %s', (format, type) => {
  test.each([
    ['cay, docker-registry, cay', () => [cay, peer]],
    ['docker-registry, cay, docker-registry', () => [peer, cay]],
  ])('keeps the layers on the way %s', async (name, registries) => {
    await using folder = await temporaryFolder('differential')
    const [one, other] = registries().map((address) => `docker://${address}/skopeo/${format}`)
    const image = await makeImage({ layerBytes: 100_000 })
    await writeLayout(join(folder.path, 'layout'), image, '1')
    const sh = await openShell(folder.path, ['skopeo'], (await containersHome(folder.path)).env)
    const tag = name.slice(0, 1)
    const raw = await sh(`copy() { skopeo copy --src-tls-verify=false --dest-tls-verify=false "$@" >&2; }
      copy --format ${format} oci:layout:1 ${one}:${tag}1
      copy ${one}:${tag}1 ${other}:${tag}1
      copy ${other}:${tag}1 ${one}:${tag}2
      copy ${one}:${tag}2 dir:pulled
      skopeo inspect --tls-verify=false --raw ${one}:${tag}2`)
    const { mediaType, schemaVersion } = JSON.parse(raw)
    expect(schemaVersion === 1 ? schema1 : mediaType).toBe(type)
    expect(await layersOfFolder(join(folder.path, 'pulled'))).toEqual(image.layers.map(sha256))
  })
})
