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

const { schema1, schema2, list, oci, index } = mediaTypes
const unsigned = 'application/vnd.docker.distribution.manifest.v1+json'
const json = 'application/json'
const docker19 = 'docker/1.9.1 go/go1.4.2'

const formats = ['schema1', 'schema2', 'list', 'oci', 'index', 'artifact'] as const

/**
 * Who asks: a name, the User-Agent and the Accept header; and what it gets of each format, in the order of `formats`: s, the
 * manifest as it is stored; c, the amd64 image of an index; 1, a conversion to schema 1; u, that without signatures; -, 404.
 * Where cay (the first letter) differs from docker-registry (the second):
 * - s1: only a client that names schema 1, or an old Docker, gets it, and one without Accept gets the pushed manifest, as the
 *   OCI specification says. docker-registry converts for all that do not name schema 2.
 * - s-, c-, 1-, u-: OCI content is given, converted or as it is, where docker-registry hides it.
 * - us, u1: a client that reads only manifests without signatures gets one.
 */
const askers: [name: string, agent: string, accept: string[] | undefined, results: string][] = [
  ['curl: nothing', 'curl/8.0', undefined, 's s1 s1 s- s- s-'],
  ['curl: */*', 'curl/8.0', ['*/*'], 's s1 s1 s- s- s-'],
  ['curl: application/json', 'curl/8.0', [json], 's s1 s1 s- s- s-'],
  ['curl: application/*', 'curl/8.0', ['application/*'], 's s1 s1 s- s- s-'],
  ['curl: text/html', 'curl/8.0', ['text/html'], 's s1 s1 s- s- s-'],
  ['schema 1', 'x/1', [schema1], 's 1 1 1- 1- -'],
  ['schema 1 without signatures', 'x/1', [unsigned], 'us u1 u1 u- u- -'],
  ['schema 2', 'x/1', [schema2], 's s c s- s- s-'],
  ['schema 2 and lists', 'x/1', [schema2, list], 's s s s- s- s-'],
  ['lists', 'x/1', [list], 's s1 s s- s- s-'],
  ['OCI', 'x/1', [oci], 's s1 s1 s c- s'],
  ['OCI and indexes', 'x/1', [oci, index], 's s1 s1 s s s'],
  ['indexes', 'x/1', [index], 's s1 s1 s- s s-'],
  ['containerd', 'containerd/1.7', [schema2, list, oci, index, '*/*'], 's s s s s s'],
  ['docker 1.9: nothing', docker19, undefined, 's 1 1 1- 1- -'],
  ['docker 1.9: */*', docker19, ['*/*'], 's 1 1 1- 1- -'],
  ['docker 1.10', 'docker/1.10.3', [schema2, list, schema1, json], 's s s 1- 1- s-'],
  ['docker 1.10: nothing', 'docker/1.10.3', undefined, 's s1 s1 s- s- s-'],
]

describe.each(formats)('%s', (format) => {
  const repository = `grid/${format}`
  let sample: Sample
  beforeAll(async () => {
    sample = (await makeSamples(repository, 'v'))[format]
    for (const address of [cay, peer]) await new Registry(address).pushContent(repository, 'v', sample)
  })
  test.each(askers)(
    'is served to %s as docker-registry does, or as the table says',
    async (_, agent, accept, results) => {
      const headers = { 'user-agent': agent, ...(accept && { accept: accept.join(', ') }) }
      const [ours = '', theirs = ours] = results.split(' ')[formats.indexOf(format)] ?? ''
      expect(await outcome(cay, sample, headers)).toBe(ours)
      expect(await outcome(peer, sample, headers)).toBe(theirs)
    },
  )
})

/** Returns the result of a pull by tag, which must be the same for HEAD and GET. */
async function outcome(address: string, sample: Sample, headers: Record<string, string>): Promise<string> {
  const path = `grid/${sample.format}/manifests/v`
  const got = await ask(address, path, headers)
  expect(described(await ask(address, path, headers, 'HEAD'))).toEqual(described(got))
  if (got.status === 404) return '-'
  expect(got.status).toBe(200)
  const digest = got.headers['docker-content-digest'] ?? ''
  const type = got.headers['content-type'] ?? ''
  if (digest === sample.descriptor.digest) return type === unsigned ? 'u' : 's'
  const children: Descriptor[] = JSON.parse(sample.manifest.toString()).manifests ?? []
  const child = children.find((one) => one.digest === digest)
  if (child !== undefined) {
    expect(child.platform?.architecture).toBe('amd64')
    return 'c'
  }
  const document = parseSignedDocument(got.body)
  if (type !== unsigned) verifySignatures(document)
  expect(sha256(document.payload)).toBe(digest)
  expect([schema1, unsigned]).toContain(type)
  return type === unsigned ? 'u' : '1'
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

describe('conversion', () => {
  const repository = 'conversion'
  beforeAll(async () => {
    const samples = await makeSamples(repository, 'any')
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
    const history = document.history.map((step: { v1Compatibility: string }) =>
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
  test('an OCI image is converted as its schema 2 image is', async () =>
    expect(await convert(cay, 'oci')).toEqual(await convert(cay, 'schema2')))
  test('an index is converted as its image is', async () =>
    expect(await convert(cay, 'index')).toEqual(await convert(cay, 'oci')))
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
