import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage, makeIndex, makePlatforms, sha256, writeLayout } from '../lib/image.ts'
import type { CaseContext, Client } from './client.ts'

/** crane: go-containerregistry's client, whose library ko, cosign and flux push with. */
export const crane: Client = {
  name: 'crane',
  tools: ['crane'],
  cases: {
    async 'push and pull of an image'(context) {
      const { name } = await pushLayout(context, 'image')
      await context.run`crane pull --insecure --format oci ${name}:1 pulled`
      await context.run`diff --recursive pushed/blobs pulled/blobs`
    },
    async 'push and pull of an index'({ registry, folder, run }) {
      const images = await makePlatforms()
      const nested = makeIndex([makeIndex(images), await makeImage({ layerCount: 1 })])
      await writeLayout(join(folder, 'pushed'), nested, '1')
      await run`crane push --insecure pushed ${registry}/crane/index:1`
      await run`crane pull --insecure --format oci ${registry}/crane/index:1 pulled`
      await run`diff --recursive pushed/blobs pulled/blobs`
    },
    async validate(context) {
      const { name } = await pushLayout(context, 'valid')
      await context.run`crane validate --insecure --remote ${name}:1`
    },
    async 'copy, and tag'(context) {
      const { image, name } = await pushLayout(context, 'source')
      const { registry, run } = context
      await run`crane copy --insecure ${name}:1 ${registry}/crane/target:1`
      await run`crane tag --insecure ${registry}/crane/target:1 2`
      equal((await run`crane digest --insecure ${registry}/crane/target:2`).trim(), image.descriptor.digest)
      await run`crane pull --insecure --format oci ${registry}/crane/target:2 pulled`
      await run`diff --recursive pushed/blobs pulled/blobs`
    },
    async 'append a layer'(context) {
      const { name } = await pushLayout(context, 'base')
      const { layers } = await makeImage({ layerCount: 1 })
      const layer = layers[0] ?? new Uint8Array()
      await Bun.write(join(context.folder, 'layer.tar'), layer)
      await context.run`crane append --insecure -b ${name}:1 -f layer.tar -t ${name}:2`
      const config = JSON.parse(await context.run`crane config --insecure ${name}:2`)
      equal(config.rootfs.diff_ids.length, 4)
      equal(config.rootfs.diff_ids.at(-1), sha256(layer))
    },
    async 'index append'({ registry, folder, run }) {
      const platforms = ['amd64', 'arm64'] as const
      const names = []
      for (const architecture of platforms) {
        await writeLayout(join(folder, architecture), await makeImage({ architecture }), '1')
        const name = `${registry}/crane/list:${architecture}`
        await run`crane push --insecure ${architecture} ${name}`
        names.push('--manifest', name)
      }
      await run`crane index append --insecure ${names} --tag ${registry}/crane/list:all`
      for (const architecture of platforms) {
        const platform = `linux/${architecture}`
        const config = await run`crane config --insecure --platform ${platform} ${registry}/crane/list:all`
        equal(JSON.parse(config).architecture, architecture)
      }
    },
    async 'catalog, and ls'(context) {
      const { name } = await pushLayout(context, 'listed')
      for (const tag of ['b', 'a']) await context.run`crane tag --insecure ${name}:1 ${tag}`
      deepEqual(lines(await context.run`crane ls --insecure ${name}`), ['1', 'a', 'b'])
      const repositories = lines(await context.run`crane catalog --insecure ${context.registry}`)
      ok(repositories.includes('crane/listed'))
      deepEqual(repositories, [...repositories].sort())
    },
    async 'digest, manifest, and blob'(context) {
      const { image, name } = await pushLayout(context, 'read')
      const { digest } = image.descriptor
      const { run } = context
      equal((await run`crane digest --insecure ${name}:1`).trim(), digest)
      const manifest = await run`crane manifest --insecure ${name}@${digest}`
      equal(sha256(new TextEncoder().encode(manifest)), digest)
      for (const layer of JSON.parse(manifest).layers) {
        const command = 'crane blob --insecure "$1" | sha256sum'
        equal(`sha256:${(await run`sh -c ${command} sh ${name}@${layer.digest}`).slice(0, 64)}`, layer.digest)
      }
    },
    async delete(context) {
      const { image, name } = await pushLayout(context, 'deleted')
      await context.run`crane delete --insecure ${name}@${image.descriptor.digest}`
      await rejects(context.run`crane digest --insecure ${name}:1`, /MANIFEST_UNKNOWN|404/)
    },
  },
}

async function pushLayout({ registry, folder, run }: CaseContext, name: string) {
  const image = await makeImage()
  await writeLayout(join(folder, 'pushed'), image, '1')
  await run`crane push --insecure pushed ${registry}/crane/${name}:1`
  return { image, name: `${registry}/crane/${name}` }
}

function lines(text: string): string[] {
  return text.trimEnd().split('\n')
}
