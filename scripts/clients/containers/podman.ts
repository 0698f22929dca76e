import { deepEqual, equal, match } from 'node:assert/strict'
import { join } from 'node:path'
import {
  expectArchive,
  type Image,
  makeImage,
  sha256,
  writeDockerArchive,
  writeLayout,
} from '../../lib/image.ts'
import type { CaseContext, Client } from '../client.ts'
import { containersHome } from './containers-home.ts'

/** podman: pushes from its own storage, so it compresses each layer again. */
export const podman: Client = {
  name: 'podman',
  tools: ['podman'],
  setUp: containersHome,
  cases: {
    async 'push and pull of a docker image'(context) {
      const { registry, folder, run } = context
      const image = await makeImage()
      const name = `${registry}/podman/docker:1`
      await writeDockerArchive(join(folder, 'pushed.tar'), image, name)
      await run`podman load --quiet --input pushed.tar`
      await run`podman push --tls-verify=false ${name}`
      await run`podman rmi --all --force`
      await pullAndCompare(context, name, image)
    },
    async 'push and pull of an OCI image'(context) {
      const { registry, folder, run } = context
      const image = await makeImage()
      const name = `${registry}/podman/oci:1`
      await writeLayout(join(folder, 'pushed'), image, '1')
      const id = await run`podman pull --quiet oci:pushed:1`
      await run`podman push --tls-verify=false --format oci ${id.trim()} ${name}`
      await run`podman rmi --all --force`
      await pullAndCompare(context, name, image)
    },
    async 'manifest push --all, and pull by architecture'(context) {
      const { registry, folder, run } = context
      const platforms = ['amd64', 'arm64'] as const
      const name = `${registry}/podman/list:1`
      const images: Image[] = []
      await run`podman manifest create list`
      for (const architecture of platforms) {
        const image = await makeImage({ architecture })
        await writeLayout(join(folder, architecture), image, '1')
        await run`podman manifest add list oci:${architecture}:1`
        images.push(image)
      }
      await run`podman manifest push --all --tls-verify=false list docker://${name}`
      await run`podman manifest rm list`
      for (const image of images)
        await pullAndCompare(context, name, image, '--arch', image.descriptor.platform?.architecture ?? '')
    },
    'search by the catalog, and by tags': search,
  },
}

async function search({ registry, folder, run }: CaseContext): Promise<void> {
  await writeLayout(join(folder, 'pushed'), await makeImage({ layerBytes: 1024 }), '1')
  const id = (await run`podman pull --quiet oci:pushed:1`).trim()
  for (const tag of ['1', '2'])
    await run`podman push --tls-verify=false ${id} ${registry}/podman/found:${tag}`
  match(await run`podman search --tls-verify=false ${registry}/podman/found`, /podman\/found/)
  const listTags = ['podman', 'search', '--tls-verify=false', '--list-tags', '--format', 'json']
  const [found] = JSON.parse(await run`${listTags} ${registry}/podman/found`)
  deepEqual(found.Tags, ['1', '2'])
}

/** Pulls an image, expects the id and the layers of `image`, and deletes the local copy. */
async function pullAndCompare({ folder, run }: CaseContext, name: string, image: Image, ...flags: string[]) {
  const id = (await run`podman pull --quiet --tls-verify=false ${flags} ${name}`).trim()
  equal(`sha256:${id}`, sha256(image.config))
  await run`podman save --format docker-archive --output ${id}.tar ${id}`
  await expectArchive(join(folder, `${id}.tar`), image)
  await run`podman rmi --all --force`
}
