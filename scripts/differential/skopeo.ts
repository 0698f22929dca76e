import { deepEqual, equal } from 'node:assert/strict'
import { join } from 'node:path'
import { mediaTypes } from '../formats/samples.ts'
import { readLayers, skopeoIn } from '../formats/skopeo.ts'
import { makeImage, sha256, writeLayout } from '../lib/image.ts'
import type { Cases, Registries } from './registries.ts'

const formats = { v2s1: 'schema1', v2s2: 'schema2', oci: 'oci' } as const

/** skopeo pushes each format to one registry, and copies it to the other one and back. The layers must be the same. */
export async function skopeo({ cay, peer, folder }: Registries): Promise<Cases> {
  const run = await skopeoIn(folder)
  const copy = (from: string, to: string, ...more: string[]) =>
    run('copy', '--src-tls-verify=false', '--dest-tls-verify=false', ...more, from, to)
  const image = await makeImage({ layerCount: 3, layerBytes: 100_000 })
  await writeLayout(join(folder, 'layout'), image, '1')
  const layers = image.layers.map(sha256)
  const cases: Cases = {}
  for (const format of Object.keys(formats) as (keyof typeof formats)[]) {
    for (const [name, one, other] of [
      ['cay, docker-registry, cay', cay, peer],
      ['docker-registry, cay, docker-registry', peer, cay],
    ] as const) {
      cases[`skopeo --format ${format} to ${name}`] = async () => {
        const at = (address: string, tag: string) => `docker://${address}/skopeo/${format}:${tag}`
        const [there, across, back] = [`${name[0]}1`, `${name[0]}1`, `${name[0]}2`]
        await copy('oci:layout:1', at(one, there), '--format', format)
        await copy(at(one, there), at(other, across))
        await copy(at(other, across), at(one, back))
        const raw = await run('inspect', '--tls-verify=false', '--raw', at(one, back))
        equal(typeOf(raw), mediaTypes[formats[format]])
        const folderOf = join(folder, `${name[0]}-${format}`)
        await copy(at(one, back), `dir:${folderOf}`)
        deepEqual(await layersIn(folderOf), layers)
      }
    }
  }
  return cases
}

function typeOf(manifest: string): string {
  const { mediaType, schemaVersion } = JSON.parse(manifest)
  return schemaVersion === 1 ? mediaTypes.schema1 : mediaType
}

/** Returns the digests of the uncompressed layers in a folder of skopeo, base first, without empty layers. */
async function layersIn(folder: string): Promise<string[]> {
  const layers = (await readLayers(folder)).map((layer) => Bun.gunzipSync(layer))
  return layers.filter((bytes) => bytes.some((byte) => byte !== 0)).map(sha256)
}
