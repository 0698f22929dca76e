import { deepEqual, equal, match } from 'node:assert/strict'
import { type Answer, ask, expectStatus, pushSample, putManifest } from '../formats/registry-http.ts'
import { makeSamples, mediaTypes, type Sample } from '../formats/samples.ts'
import { Registry } from '../lib/registry.ts'
import type { Cases, Registries } from './registries.ts'

const emptyLayer = Buffer.from('H4sIAAAJbogA/2IYBaNgFIxYAAgAAP//Lq+17wAEAAA=', 'base64')
const emptyDigest = 'sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4'

/** Each registry accepts manifests that the other one signed, and refuses unsigned ones. */
export async function signatures({ cay, peer }: Registries): Promise<Cases> {
  const repository = 'signatures'
  const { schema1, schema2 } = await makeSamples(repository, 'signed')
  for (const address of [cay, peer]) {
    await pushSample(address, repository, schema2, 'converted')
    await pushSample(address, repository, schema1, 'signed')
    await new Registry(address).pushBlob(repository, emptyDigest, emptyLayer)
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
  const pushed = await expectStatus(putManifest(to, repository, mediaTypes.schema1, pulled.body, tag), 201)
  const digest = pulled.headers['docker-content-digest'] ?? ''
  equal(pushed.headers['docker-content-digest'], digest)
  equal((await pull(to, repository, digest)).headers['docker-content-digest'], digest)
}

function pull(address: string, repository: string, reference: string): Promise<Answer> {
  const path = `/v2/${repository}/manifests/${reference}`
  return expectStatus(ask(address, 'GET', path, { accept: mediaTypes.schema1 }), 200)
}

async function asPushed(cay: string, repository: string, { digest, manifest }: Sample): Promise<void> {
  const got = await pull(cay, repository, digest)
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
    const got = await expectStatus(putManifest(address, repository, mediaTypes.schema1, bytes, 'signed'), 400)
    for (const { code } of JSON.parse(got.body.toString()).errors) match(code, codes)
  }
}

async function lacksLayers({ cay, peer }: Pick<Registries, 'cay' | 'peer'>): Promise<void> {
  const repository = 'signatures/lacking'
  const { schema1 } = await makeSamples(repository, 'signed')
  const layers = new Set(
    JSON.parse(schema1.manifest.toString()).fsLayers.map(({ blobSum }: { blobSum: string }) => blobSum),
  )
  for (const address of [peer, cay]) {
    await new Registry(address).pushBlob(repository, emptyDigest, emptyLayer)
    const put = putManifest(address, repository, mediaTypes.schema1, schema1.manifest, 'signed')
    const { body } = await expectStatus(put, 400)
    const codes: string[] = JSON.parse(body.toString()).errors.map(({ code }: { code: string }) => code)
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
