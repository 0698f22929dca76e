import { deepEqual, equal, match } from 'node:assert/strict'
import { EMPTY_LAYER } from '../../src/docker/conversion.ts'
import { type Answer, ask, expectStatus } from '../formats/registry-http.ts'
import { makeSamples, mediaTypes, type Sample } from '../formats/samples.ts'
import { Registry } from '../lib/registry.ts'
import type { Cases, Registries } from './registries.ts'

const emptyLayer = Buffer.from(EMPTY_LAYER.base64, 'base64')

/** Each registry accepts manifests that the other one signed, and refuses unsigned ones. */
export async function signatures({ cay, peer }: Registries): Promise<Cases> {
  const repository = 'signatures'
  const { schema1, schema2 } = await makeSamples(repository, 'signed')
  for (const address of [cay, peer]) {
    const registry = new Registry(address)
    await registry.pushContent(repository, 'converted', schema2)
    await registry.pushContent(repository, 'signed', schema1)
    await registry.pushBlob(repository, EMPTY_LAYER.digest, emptyLayer)
  }
  const refuse = (bytes: Uint8Array, codes: RegExp) => refusedByBoth({ cay, peer }, repository, bytes, codes)
  return {
    'docker-registry accepts what cay signs': () => hand(repository, cay, peer, 'converted'),
    'cay accepts what docker-registry signs': () => hand(repository, peer, cay, 'converted'),
    'docker-registry accepts a signed manifest that was pushed to cay': () =>
      hand(repository, cay, peer, 'signed'),
    'cay accepts a manifest that docker-registry converts and signs': () =>
      hand(repository, peer, cay, 'signed'),
    'cay serves signed bytes as they were pushed': () => asPushed(cay, repository, schema1),
    'both refuse a changed manifest': () =>
      refuse(changed(schema1.manifest), /MANIFEST_UNVERIFIED|MANIFEST_INVALID/),
    'both refuse a manifest without a signature': () =>
      refuse(stripped(schema1.manifest), /MANIFEST_INVALID/),
    'both refuse a manifest that lacks a layer': () => lacksLayers({ cay, peer }),
  }
}

/** Pulls a schema 1 manifest from one registry, and pushes the same bytes to the other. */
async function hand(repository: string, from: string, to: string, tag: string): Promise<void> {
  const pulled = await pull(from, repository, tag)
  const pushed = await new Registry(to).pushManifest(repository, tag, pulled.body, mediaTypes.schema1)
  const digest = pulled.headers['docker-content-digest'] ?? ''
  equal(pushed.headers.get('docker-content-digest'), digest)
  equal((await pull(to, repository, digest)).headers['docker-content-digest'], digest)
}

function pull(address: string, repository: string, reference: string): Promise<Answer> {
  const path = `/v2/${repository}/manifests/${reference}`
  return expectStatus(ask(address, 'GET', path, { accept: mediaTypes.schema1 }), 200)
}

async function asPushed(cay: string, repository: string, { descriptor, manifest }: Sample): Promise<void> {
  const got = await pull(cay, repository, descriptor.digest)
  equal(got.headers['content-type'], mediaTypes.schema1)
  deepEqual(got.body, manifest)
}

async function refusedByBoth(
  { cay, peer }: Pick<Registries, 'cay' | 'peer'>,
  repository: string,
  bytes: Uint8Array,
  codes: RegExp,
): Promise<void> {
  for (const address of [peer, cay]) {
    for (const code of await refusalCodes(address, repository, bytes)) match(code, codes)
  }
}

/** Pushes a schema 1 manifest that must be refused, and returns the codes of the errors. */
async function refusalCodes(address: string, repository: string, bytes: Uint8Array): Promise<string[]> {
  const answer = await new Registry(address).putManifest(repository, 'signed', bytes, mediaTypes.schema1)
  equal(answer.status, 400)
  return answer.json<{ errors: { code: string }[] }>().errors.map(({ code }) => code)
}

async function lacksLayers({ cay, peer }: Pick<Registries, 'cay' | 'peer'>): Promise<void> {
  const repository = 'signatures/lacking'
  const { schema1 } = await makeSamples(repository, 'signed')
  const layers = new Set(
    JSON.parse(schema1.manifest.toString()).fsLayers.map(({ blobSum }: { blobSum: string }) => blobSum),
  )
  for (const address of [peer, cay]) {
    await new Registry(address).pushBlob(repository, EMPTY_LAYER.digest, emptyLayer)
    const codes = await refusalCodes(address, repository, schema1.manifest)
    equal(codes.filter((code) => code === 'MANIFEST_BLOB_UNKNOWN').length, layers.size - 1)
  }
}

/** Another architecture, with a name of the same length. */
function changed(manifest: Buffer): Buffer {
  return Buffer.from(manifest.toString('latin1').replace('"amd64"', '"arm64"'), 'latin1')
}

function stripped(manifest: Buffer): Buffer {
  const { signatures: _, ...rest } = JSON.parse(manifest.toString())
  return Buffer.from(JSON.stringify(rest))
}
