import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage, writeLayout } from '../../lib/image.ts'
import { Registry } from '../../lib/registry.ts'
import { startServer } from '../../lib/server.ts'
import type { CaseContext, Client } from '../client.ts'
import { type Cached, REPOSITORY, startCache, withAndWithoutUpstream } from './world.ts'

const NAME = 'origin.lan'

/** Clients that name the upstream's repositories below cay's own address; each pulls again without the upstream. */
export const cachedByPrefix: Client = {
  name: 'cached-by-prefix',
  tools: ['crane', 'oras', 'regctl'],
  cases: {
    'crane, by tag and by digest': (context) =>
      withAndWithoutUpstream(context, NAME, (cached) => pullByCrane(context, cached)),
    'oras, by tag and by digest': (context) =>
      withAndWithoutUpstream(context, NAME, (cached) => pullByOras(context, cached)),
    'regctl, by tag and by digest': (context) =>
      withAndWithoutUpstream(context, NAME, (cached) => pullByRegctl(context, cached)),
    'a cay in front of a cay in front of a registry': pullThroughTwo,
  },
}

async function pullByCrane({ run }: CaseContext, { address, image }: Cached): Promise<void> {
  const name = `${address}/${NAME}/${REPOSITORY}`
  const { digest } = image.descriptor
  equal((await run`crane digest --insecure ${name}:1`).trim(), digest)
  for (const reference of [`${name}:1`, `${name}@${digest}`]) {
    await run`rm -rf pulled`
    await run`crane pull --insecure --format oci ${reference} pulled`
    await run`diff --recursive pushed/blobs pulled/blobs`
  }
}

async function pullByOras({ run }: CaseContext, { address, image }: Cached): Promise<void> {
  const name = `${address}/${NAME}/${REPOSITORY}`
  for (const reference of [`${name}:1`, `${name}@${image.descriptor.digest}`]) {
    await run`rm -rf pulled`
    await run`oras copy --from-plain-http ${reference} --to-oci-layout pulled:1`
    await run`diff --recursive pushed/blobs pulled/blobs`
  }
}

async function pullByRegctl({ run }: CaseContext, { address, image }: Cached): Promise<void> {
  const name = `${address}/${NAME}/${REPOSITORY}`
  for (const reference of [`${name}:1`, `${name}@${image.descriptor.digest}`]) {
    await run`rm -rf pulled`
    await run`regctl --host reg=${address},tls=disabled image copy ${reference} ocidir://pulled:1`
    await run`diff --recursive pushed/blobs pulled/blobs`
  }
}

/** Pulls through two caches, and then from the nearer one with everything behind it stopped. */
async function pullThroughTwo({ folder, run }: CaseContext): Promise<void> {
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
    await new Registry(origin.address).pushContent(REPOSITORY, '1', image)
    await using far = await startCache(join(folder, 'far'), NAME, origin.address)
    await using cache = await startCache(near, 'far.lan', far.address)
    await pull(cache.address)
  }
  await using cache = await startServer({ data: near })
  await pull(cache.address)
}
