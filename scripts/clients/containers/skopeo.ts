import { deepEqual, equal, rejects } from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  expectArchive,
  makeImage,
  makeIndex,
  makePlatforms,
  sha256,
  writeDockerArchive,
  writeLayout,
} from '../../lib/image.ts'
import type { CaseContext, Client } from '../client.ts'
import { containersHome } from './containers-home.ts'

const toRegistry = ['skopeo', 'copy', '--dest-tls-verify=false']
const fromRegistry = ['skopeo', 'copy', '--src-tls-verify=false']
const mebibyte = 1024 * 1024

/** skopeo: the image library of podman, buildah and CRI-O, with a command for each of its operations. */
export const skopeo: Client = {
  name: 'skopeo',
  tools: ['skopeo'],
  setUp: containersHome,
  cases: {
    async 'copy of a docker archive'({ registry, folder, run }) {
      const image = await makeImage()
      await writeDockerArchive(join(folder, 'pushed.tar'), image, 'pushed:1')
      await run`${toRegistry} docker-archive:pushed.tar docker://${registry}/skopeo/archive:1`
      await run`${fromRegistry} docker://${registry}/skopeo/archive:1 docker-archive:pulled.tar:pulled:1`
      const config = await expectArchive(join(folder, 'pulled.tar'), image)
      equal(sha256(config), sha256(image.config))
    },
    'copy of an OCI layout': (context) => copyLayout(context, 'layout', { layerCount: 3 }),
    'copy of many layers at once': (context) =>
      copyLayout(context, 'many', { layerCount: 16, layerBytes: mebibyte }),
    'copy of a layer of 256 MiB': (context) =>
      copyLayout(context, 'big', { layerCount: 1, layerBytes: 256 * mebibyte }),
    async 'copy --all of an index, --preserve-digests'({ registry, folder, run }) {
      const images = await makePlatforms()
      const index = makeIndex(images)
      await writeLayout(join(folder, 'pushed'), index, '1')
      const name = `docker://${registry}/skopeo/index`
      await run`${toRegistry} --all --preserve-digests oci:pushed:1 ${name}:1`
      await run`${fromRegistry} --all --preserve-digests ${name}@${index.descriptor.digest} oci:pulled:1`
      await run`diff --recursive pushed/blobs pulled/blobs`
      const arm64 = await run`skopeo --override-arch arm64 inspect --tls-verify=false ${name}:1`
      equal(JSON.parse(arm64).Architecture, 'arm64')
    },
    async 'copy from repository to repository'({ registry, folder, run }) {
      await writeLayout(join(folder, 'pushed'), await makeImage(), '1')
      const [from, to] = [`docker://${registry}/skopeo/from:1`, `docker://${registry}/skopeo/to:1`]
      await run`${toRegistry} oci:pushed:1 ${from}`
      await run`skopeo copy --src-tls-verify=false --dest-tls-verify=false ${from} ${to}`
      await run`${fromRegistry} ${to} oci:pulled:1`
      await run`diff --recursive pushed/blobs pulled/blobs`
    },
    async 'copy --format v2s2 of an OCI layout'({ registry, folder, run }) {
      const image = await makeImage()
      await writeLayout(join(folder, 'pushed'), image, '1')
      const name = `docker://${registry}/skopeo/converted:1`
      await run`${toRegistry} --format v2s2 oci:pushed:1 ${name}`
      const manifest = JSON.parse(await run`skopeo inspect --tls-verify=false --raw ${name}`)
      equal(manifest.mediaType, 'application/vnd.docker.distribution.manifest.v2+json')
      await run`${fromRegistry} ${name} docker-archive:pulled.tar`
      await expectArchive(join(folder, 'pulled.tar'), image)
    },
    async 'list-tags'({ registry, folder, run }) {
      await writeLayout(join(folder, 'pushed'), await makeImage({ layerBytes: 1024 }), '1')
      const tags = ['1.10', '1.9', 'Latest', 'latest']
      const name = `docker://${registry}/skopeo/tags`
      for (const tag of tags) await run`${toRegistry} oci:pushed:1 ${name}:${tag}`
      const listed = JSON.parse(await run`skopeo list-tags --tls-verify=false ${name}`)
      deepEqual(listed.Tags, tags)
    },
    inspect: inspect,
    async delete({ registry, folder, run }) {
      await writeLayout(join(folder, 'pushed'), await makeImage({ layerBytes: 1024 }), '1')
      const name = `docker://${registry}/skopeo/deleted`
      await run`${toRegistry} oci:pushed:1 ${name}:1`
      await run`${toRegistry} oci:pushed:1 ${name}:2`
      await run`skopeo delete --tls-verify=false ${name}:1`
      for (const tag of ['1', '2'])
        await rejects(run`skopeo inspect --tls-verify=false ${name}:${tag}`, /manifest unknown/i)
    },
    async 'sync from registry to folder, and back'({ registry, folder, run }) {
      const index = makeIndex(await makePlatforms())
      await writeLayout(join(folder, 'pushed'), index, '1')
      const name = `${registry}/skopeo/synced`
      for (const tag of ['1', '2']) await run`${toRegistry} --all oci:pushed:1 docker://${name}:${tag}`
      await mkdir(join(folder, 'synced'))
      await run`skopeo sync --all --src docker --dest dir --src-tls-verify=false ${name} synced`
      const back = `${registry}/skopeo/back`
      await run`skopeo sync --all --src dir --dest docker --dest-tls-verify=false synced ${back}`
      for (const tag of ['1', '2']) {
        await run`${fromRegistry} --all docker://${back}/synced:${tag} oci:pulled-${tag}:1`
        await run`diff --recursive pushed/blobs pulled-${tag}/blobs`
      }
    },
  },
}

async function copyLayout(
  { registry, folder, run }: CaseContext,
  repository: string,
  options: { layerCount: number; layerBytes?: number },
): Promise<void> {
  await writeLayout(join(folder, 'pushed'), await makeImage(options), '1')
  await run`${toRegistry} oci:pushed:1 docker://${registry}/skopeo/${repository}:1`
  await run`${fromRegistry} docker://${registry}/skopeo/${repository}:1 oci:pulled:1`
  await run`diff --recursive pushed/blobs pulled/blobs`
}

async function inspect({ registry, folder, run }: CaseContext): Promise<void> {
  const image = await makeImage()
  await writeLayout(join(folder, 'pushed'), image, '1')
  const name = `docker://${registry}/skopeo/inspected:1`
  await run`${toRegistry} oci:pushed:1 ${name}`
  const inspected = JSON.parse(await run`skopeo inspect --tls-verify=false ${name}`)
  equal(inspected.Digest, image.descriptor.digest)
  deepEqual(inspected.RepoTags, ['1'])
  const config = await run`skopeo inspect --tls-verify=false --config --raw ${name}`
  equal(config.trimEnd(), new TextDecoder().decode(image.config))
}
