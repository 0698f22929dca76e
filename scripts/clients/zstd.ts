import { deepEqual, equal } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Image, makeImage, sha256, writeLayout } from '../lib/image.ts'
import { readZstdChunked } from './chunked-layer.ts'
import type { CaseContext, Client } from './client.ts'
import { containersHome } from './containers/containers-home.ts'
import { Published } from './published.ts'

const layerType = 'application/vnd.oci.image.layer.v1.tar+zstd'

/** Images whose layers skopeo and podman compress with zstd on the way. */
export const zstd: Client = {
  name: 'zstd',
  tools: ['skopeo', 'podman'],
  setUp: containersHome,
  cases: {
    'push by skopeo, and pull': async (context) => {
      const image = await makeImage()
      await pushBySkopeo(context, image, 'zstd', 'zstd/skopeo')
      await pullAndCompare(context, image, 'zstd/skopeo')
    },
    async 'push by podman, and pull'(context) {
      const { registry, folder, run } = context
      const image = await makeImage()
      await writeLayout(join(folder, 'pushed'), image, '1')
      const id = (await run`podman pull --quiet oci:pushed:1`).trim()
      const push = ['podman', 'push', '--tls-verify=false', '--format', 'oci', '--compression-format', 'zstd']
      await run`${push} ${id} ${registry}/zstd/podman:1`
      await run`podman rmi --all --force`
      await pullAndCompare(context, image, 'zstd/podman')
      equal((await run`podman pull --quiet --tls-verify=false ${registry}/zstd/podman:1`).trim(), id)
      await run`podman rmi --all --force`
    },
    async 'zstd:chunked: push, pull, and each file by its range'(context) {
      const paths = Array.from({ length: 300 }, (_, number) => `files/${number}.bin`)
      const files = Object.fromEntries(paths.map((path, number) => [path, randomBytes(100 + number * 40)]))
      const image = await makeImage({ files: [files] })
      await pushBySkopeo(context, image, 'zstd:chunked', 'zstd/chunked')
      const layer = await pullAndCompare(context, image, 'zstd/chunked')
      const published = new Published(context.registry, 'zstd/chunked')
      const read = (first: number, last: number) => published.blob(layer.digest, first, last)
      const found = await readZstdChunked({ ...layer, read })
      deepEqual([...found.keys()].sort(), paths.sort())
      for (const path of paths) equal(sha256(found.get(path)!), sha256(files[path]!))
      await published.delete('1')
    },
  },
}

async function pushBySkopeo(
  { registry, folder, run }: CaseContext,
  image: Image,
  format: string,
  repository: string,
) {
  await writeLayout(join(folder, 'pushed'), image, '1')
  const compress = ['--dest-tls-verify=false', '--dest-compress-format', format]
  await run`skopeo copy ${compress} oci:pushed:1 docker://${registry}/${repository}:1`
}

/** Pulls an image, whose layers are compressed with zstd, and compares it. Returns its first layer's descriptor. */
async function pullAndCompare({ registry, folder, run }: CaseContext, image: Image, repository: string) {
  const name = `docker://${registry}/${repository}:1`
  await run`skopeo copy --src-tls-verify=false ${name} oci:pulled:1`
  const { json } = await new Published(registry, repository).manifest('1')
  const blobs = json.layers.map(({ mediaType, digest }: { mediaType: string; digest: string }) => {
    equal(mediaType, layerType)
    return join(folder, 'pulled', 'blobs', digest.replace(':', '/'))
  })
  const layers = await Promise.all(
    blobs.map(async (path: string) => Bun.zstdDecompressSync(await Bun.file(path).bytes())),
  )
  deepEqual(layers.map(withoutPadding).map(sha256), image.layers.map(withoutPadding).map(sha256))
  return json.layers[0]
}

/** An archive without the zeros at its end, because zstd:chunked keeps only some of them. */
function withoutPadding(archive: Uint8Array): Uint8Array {
  return archive.subarray(0, archive.findLastIndex((byte) => byte !== 0) + 1)
}
