import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage, writeLayout } from '../../lib/image.ts'
import { startServer } from '../../lib/server.ts'
import type { CaseContext, Client } from '../client.ts'
import { type Cached, REPOSITORY, referencesOf, startCache, withAndWithoutUpstream } from './world.ts'

const NAME = 'origin.lan'

/** The commands that pull an image into the layout `pulled`, by client. */
const PULLS: Record<string, (name: string, address: string) => string[]> = {
  crane: (name) => ['crane', 'pull', '--insecure', '--format', 'oci', name, 'pulled'],
  oras: (name) => ['oras', 'copy', '--from-plain-http', name, '--to-oci-layout', 'pulled:1'],
  regctl: (name, address) => {
    const host = ['--host', `reg=${address},tls=disabled`]
    return ['regctl', ...host, 'image', 'copy', name, 'ocidir://pulled:1']
  },
}

/** Clients that name the upstream's repositories below cay's own address; each pulls again without the upstream. */
export const cachedByPrefix: Client = {
  name: 'cached-by-prefix',
  tools: ['crane', 'oras', 'regctl'],
  cases: {
    ...Object.fromEntries(
      Object.keys(PULLS).map((name) => [
        `${name}, by tag and by digest`,
        (context: CaseContext) =>
          withAndWithoutUpstream(context, NAME, (cached) => pullBoth(context, cached, name)),
      ]),
    ),
    'crane digest': (context) =>
      withAndWithoutUpstream(context, NAME, async ({ address, image }) => {
        const digest = await context.run`crane digest --insecure ${address}/${NAME}/${REPOSITORY}:1`
        equal(digest.trim(), image.descriptor.digest)
      }),
    /** Pulls through two caches, and then from the nearer one with everything behind it stopped. */
    async 'a cay in front of a cay in front of a registry'({ folder, run }) {
      const image = await makeImage()
      await writeLayout(join(folder, 'pushed'), image, '1')
      const near = join(folder, 'near')
      const pull = async (address: string) => {
        await run`rm -rf pulled`
        await run`crane pull --insecure --format oci ${address}/far.lan/${NAME}/${REPOSITORY}:1 pulled`
        await run`diff --recursive pushed/blobs pulled/blobs`
      }
      {
        await using origin = await startServer()
        await origin.registry.pushContent(REPOSITORY, '1', image)
        await using far = await startCache(join(folder, 'far'), NAME, origin.address)
        await using cache = await startCache(near, 'far.lan', far.address)
        await pull(cache.address)
      }
      await using cache = await startServer({ data: near })
      await pull(cache.address)
    },
  },
}

async function pullBoth({ run }: CaseContext, { address, image }: Cached, client: string): Promise<void> {
  for (const reference of referencesOf(image)) {
    await run`rm -rf pulled`
    await run`${PULLS[client]?.(`${address}/${NAME}/${reference}`, address) ?? []}`
    await run`diff --recursive pushed/blobs pulled/blobs`
  }
}
