import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { EMPTY_LAYER } from '../../src/docker/conversion.ts'
import { ask, expectStatus } from '../formats/registry-http.ts'
import { type Format, makeSamples, mediaTypes, type Sample } from '../formats/samples.ts'
import { Registry } from '../lib/registry.ts'
import type { Cases, Registries } from './registries.ts'

interface V1 {
  id: string
  parent?: string
  throwaway?: boolean
  container_config?: { Cmd?: string[] }
  [field: string]: unknown
}

interface Converted {
  fsLayers: { blobSum: string }[]
  history: { v1Compatibility: string }[]
  [field: string]: unknown
}

/** How images are converted for clients that read only schema 1. */
export async function conversion({ cay, peer }: Registries): Promise<Cases> {
  const repository = 'conversion'
  const samples = await makeSamples(repository, 'any')
  const { schema2, list, oci, index } = samples
  for (const sample of [schema2, list]) {
    for (const address of [cay, peer])
      await new Registry(address).pushContent(repository, sample.format, sample)
  }
  for (const sample of [oci, index]) await new Registry(cay).pushContent(repository, sample.format, sample)
  const pull = (address: string, tag: Format) => convert(address, repository, tag)
  return {
    'schema 2 is converted as docker-registry does': async () =>
      deepEqual(withoutCommand(await pull(cay, 'schema2')), withoutCommand(await pull(peer, 'schema2'))),
    'a manifest list is converted as docker-registry does': async () =>
      deepEqual(withoutCommand(await pull(cay, 'list')), withoutCommand(await pull(peer, 'list'))),
    'the last command of the history is kept': async () => {
      const [leaf] = imagesOf(await pull(cay, 'schema2'))
      deepEqual(leaf?.container_config, { Cmd: ['CMD ["/usr/bin/tool"]'] })
    },
    'an OCI image is converted as its schema 2 image is': async () =>
      deepEqual(v1Of(await pull(cay, 'oci')), v1Of(await pull(cay, 'schema2'))),
    'an index is converted as its image is': async () =>
      deepEqual(v1Of(await pull(cay, 'index')), v1Of(await pull(cay, 'oci'))),
    'layers, history, parents and ids are in order': async () => inOrder(await pull(cay, 'schema2'), schema2),
    'the digest is the same at each pull, and can be pulled': async () => stable(cay, repository),
    'each layer of a conversion can be pulled, the empty one too': async () =>
      layersAreThere(cay, repository, await pull(cay, 'oci')),
  }
}

async function convert(address: string, repository: string, tag: string): Promise<Converted> {
  const headers = { accept: mediaTypes.schema1 }
  const path = `/v2/${repository}/manifests/${tag}`
  const got = await expectStatus(ask(address, 'GET', path, headers), 200)
  return JSON.parse(got.body.toString())
}

function imagesOf({ history }: Converted): V1[] {
  return history.map(({ v1Compatibility }) => JSON.parse(v1Compatibility))
}

/** The content that clients read: everything but signatures, with the fields in any order. */
function v1Of(document: Converted): { history: V1[] } {
  const { signatures: _, tag: __, ...rest } = document
  return { ...rest, history: imagesOf(document) }
}

/** Leaves out the leaf's command in the history: docker-registry takes it from the config only, and Quay does as cay does. */
function withoutCommand(document: Converted): object {
  const v1 = v1Of(document)
  const [{ container_config: _, ...leaf } = {}, ...others] = v1.history
  return { ...v1, history: [leaf, ...others] }
}

function inOrder(document: Converted, sample: Sample): void {
  const blobs = document.fsLayers.map(({ blobSum }) => blobSum)
  const images = imagesOf(document)
  const { layers, config: named } = JSON.parse(sample.manifest.toString())
  const digests: string[] = layers.map(({ digest }: { digest: string }) => digest)
  const [first = '', second = '', third = ''] = digests
  deepEqual(blobs, [EMPTY_LAYER.digest, third, second, EMPTY_LAYER.digest, first])
  deepEqual(
    images.map(({ throwaway }) => throwaway === true),
    [true, false, false, true, false],
  )
  equal(new Set(images.map(({ id }) => id)).size, images.length)
  for (const [number, { id, parent }] of images.entries()) {
    match(id, /^[0-9a-f]{64}$/)
    equal(parent, images[number + 1]?.id)
  }
  const bytes = sample.blobs.get(named.digest)
  ok(bytes)
  const config = JSON.parse(Buffer.from(bytes).toString())
  const [leaf, ...others] = images
  deepEqual(leaf?.config, config.config)
  deepEqual([leaf?.os, leaf?.architecture, leaf?.created], [config.os, config.architecture, config.created])
  const steps: { created_by: string }[] = config.history
  deepEqual(
    others.map((image) => image.container_config?.Cmd),
    steps
      .slice(0, -1)
      .reverse()
      .map(({ created_by }) => [created_by]),
  )
}

async function stable(cay: string, repository: string): Promise<void> {
  const headers = { accept: mediaTypes.schema1 }
  const pull = (reference: string) =>
    expectStatus(ask(cay, 'GET', `/v2/${repository}/manifests/${reference}`, headers), 200)
  const first = await pull('oci')
  const digest = first.headers['docker-content-digest'] ?? ''
  equal((await pull('oci')).headers['docker-content-digest'], digest)
  const again = await pull(digest)
  equal(again.headers['docker-content-digest'], digest)
  equal(again.headers['content-type'], mediaTypes.schema1)
  deepEqual(v1Of(JSON.parse(again.body.toString())), v1Of(JSON.parse(first.body.toString())))
}

async function layersAreThere(cay: string, repository: string, { fsLayers }: Converted): Promise<void> {
  for (const { blobSum } of fsLayers) {
    const path = `/v2/${repository}/blobs/${blobSum}`
    const { headers } = await expectStatus(ask(cay, 'HEAD', path), 200)
    const { body } = await expectStatus(ask(cay, 'GET', path), 200)
    equal(`${body.length}`, headers['content-length'])
    ok(Bun.gunzipSync(Uint8Array.from(body)).length > 0)
  }
}
