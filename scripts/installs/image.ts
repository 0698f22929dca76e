import { deepEqual, equal } from 'node:assert/strict'
import { join } from 'node:path'
import { version } from '../../package.json'
import { buildImage } from '../image.ts'
import { runCommand } from '../lib/command.ts'
import type { Descriptor } from '../lib/image.ts'
import { startServer } from '../lib/server.ts'
import { compileReleased } from '../packaging/executables.ts'
import { platforms } from '../packaging/platform.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { imageIn, indexDigest, type Trial } from './trial.ts'

/** The container image as content: what it consists of, and what describes it. */
export const image: Trial = {
  name: 'image',
  tools: ['oras'],
  cases: {
    async 'built twice, it has the same digests'({ folder, layout }) {
      await compileReleased(platforms.map(({ executable }) => executable))
      const again = await buildImage(join(folder, 'again'))
      equal(await indexDigest(again), await indexDigest(layout))
      const read = (of: string) => Bun.file(join(of, 'index.json')).json()
      deepEqual(await read(again), await read(layout))
    },
    async 'oras copies it with its SBOMs and its provenance'({ layout }) {
      const { oras = '' } = await bringTools(['oras'])
      await using server = await startServer()
      const name = `${server.address}/cay/cay:${version}`
      const flags = ['--recursive', '--from-oci-layout', '--to-plain-http']
      await runCommand([oras, 'copy', ...flags, imageIn(layout), name])
      const get = async (path: string) =>
        (await server.registry.get(`/v2/cay/cay/${path}`)).json<{ manifests: Descriptor[] }>().manifests
      const images = await get(`manifests/${version}`)
      equal(images.length, 2)
      for (const { digest } of images) {
        const types = (await get(`referrers/${digest}`)).map(({ artifactType }) => artifactType)
        deepEqual(types.sort(), ['application/vnd.cyclonedx+json', 'application/vnd.in-toto+json'])
      }
    },
  },
}
