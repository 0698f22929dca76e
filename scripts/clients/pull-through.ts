import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage, writeLayout } from '../lib/image.ts'
import { startServer } from '../lib/server.ts'
import type { CaseContext, Client } from './client.ts'

/** Clients pull through a second cay in front of the one that is tried: by prefix, and by registries.conf; then without it. */
export const pullThrough: Client = {
  name: 'pull-through',
  tools: ['crane', 'oras', 'regctl', 'skopeo'],
  cases: { 'pulls of each client, also without the upstream': pullAll },
}

async function pullAll(context: CaseContext): Promise<void> {
  const { registry, folder, run } = context
  const image = await makeImage()
  await writeLayout(join(folder, 'pushed'), image, '1')
  await run`crane push --insecure pushed ${registry}/through/image:1`
  const data = join(folder, 'cache')
  const upstream = `[[upstream]]\nname = "origin.lan"\nurl = "http://${registry}"\n`
  await Bun.write(join(data, 'cay.toml'), upstream)
  {
    await using cache = await startServer({ data })
    await pullWithEach(context, cache.address, image.descriptor.digest)
  }
  await Bun.write(join(data, 'cay.toml'), `${upstream}offline = true\n`)
  await using cache = await startServer({ data })
  await pullWithEach(context, cache.address, image.descriptor.digest)
}

async function pullWithEach({ run, folder }: CaseContext, address: string, digest: string): Promise<void> {
  const name = `${address}/origin.lan/through/image`
  await run`rm -rf by-crane by-oras by-regctl by-skopeo`
  equal((await run`crane digest --insecure ${name}:1`).trim(), digest)
  await run`crane pull --insecure --format oci ${name}:1 by-crane`
  await run`diff --recursive pushed/blobs by-crane/blobs`
  await run`oras copy --from-plain-http ${name}@${digest} --to-oci-layout by-oras:1`
  await run`diff --recursive pushed/blobs by-oras/blobs`
  await run`regctl --host reg=${address},tls=disabled image copy ${name}:1 ocidir://by-regctl:1`
  await run`diff --recursive pushed/blobs by-regctl/blobs`
  const mirror = `[[registry]]\nprefix = "origin.lan"\nlocation = "origin.lan"\n[[registry.mirror]]\nlocation = "${address}/origin.lan"\ninsecure = true\n`
  const conf = join(folder, 'registries.conf')
  await Bun.write(conf, mirror)
  await run`skopeo --registries-conf ${conf} copy docker://origin.lan/through/image:1 oci:by-skopeo:1`
  await run`diff --recursive pushed/blobs by-skopeo/blobs`
}
