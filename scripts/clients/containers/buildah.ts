import { equal } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expectArchive, type Image, makeImage, sha256, writeLayout } from '../../lib/image.ts'
import type { CaseContext, Client } from '../client.ts'
import { containersHome } from './containers-home.ts'

/** buildah: builds an image from nothing, and pushes it from its storage. */
export const buildah: Client = {
  name: 'buildah',
  tools: ['buildah'],
  setUp: containersHome,
  cases: {
    async 'build, push and pull'({ registry, folder, run }) {
      const name = `${registry}/buildah/built:1`
      await Bun.write(join(folder, 'files', 'random.bin'), randomBytes(5 * 1024 * 1024))
      await Bun.write(join(folder, 'files', 'etc', 'motd'), 'hello\n')
      const building = (await run`buildah from scratch`).trim()
      await run`buildah copy ${building} files /`
      await run`buildah config --cmd /random.bin ${building}`
      const id = await run`buildah commit --quiet ${building} ${name}`
      await run`buildah push --tls-verify=false ${name}`
      await run`buildah rm --all`
      await run`buildah rmi --all --force`
      equal(await run`buildah pull --quiet --tls-verify=false ${name}`, id)
      const pulled = (await run`buildah from --pull-never ${name}`).trim()
      await run`diff --recursive files ${(await run`buildah mount ${pulled}`).trim()}`
      await run`buildah rm --all`
      await run`buildah rmi --all --force`
    },
    async 'manifest push --all, and pull by architecture'(context) {
      const { registry, folder, run } = context
      const name = `${registry}/buildah/list:1`
      const images: Image[] = []
      await run`buildah manifest create list`
      for (const architecture of ['amd64', 'arm64'] as const) {
        const image = await makeImage({ architecture })
        await writeLayout(join(folder, architecture), image, '1')
        await run`buildah manifest add list oci:${architecture}:1`
        images.push(image)
      }
      await run`buildah manifest push --all --tls-verify=false list docker://${name}`
      await run`buildah manifest rm list`
      for (const image of images) await pullAndCompare(context, name, image)
    },
  },
}

/** Pulls the image of one architecture, compares its id and layers with those of `image`, and deletes the local copy. */
async function pullAndCompare({ folder, run }: CaseContext, name: string, image: Image): Promise<void> {
  const architecture = image.descriptor.platform?.architecture ?? ''
  const pull = ['buildah', 'pull', '--quiet', '--tls-verify=false', '--arch', architecture, name]
  const id = (await run`${pull}`).trim()
  equal(`sha256:${id}`, sha256(image.config))
  await run`buildah push ${id} docker-archive:${id}.tar`
  await expectArchive(join(folder, `${id}.tar`), image)
  await run`buildah rmi --all --force`
}
