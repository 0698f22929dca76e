import { deepEqual, equal, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage, makeIndex, writeLayout } from '../../lib/image.ts'
import type { Client } from '../client.ts'
import { Published } from '../published.ts'

/** A module with nothing in it. */
const wasmModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)

/** WebAssembly in the three formats that registries store. */
export const wasm: Client = {
  name: 'wasm',
  tools: ['wasm-to-oci', 'oras', 'crane'],
  cases: {
    async 'wasm-to-oci: push, pull and delete'({ registry, folder, run }) {
      await Bun.write(join(folder, 'pushed.wasm'), wasmModule)
      const name = `${registry}/wasm/module:1`
      await run`wasm-to-oci push --use-http pushed.wasm ${name}`
      await run`wasm-to-oci pull --use-http ${name} --out pulled.wasm`
      await run`cmp pushed.wasm pulled.wasm`
      const published = new Published(registry, 'wasm/module')
      await published.expectTags('1')
      const { json } = await published.manifest('1')
      equal(json.config.mediaType, 'application/vnd.wasm.config.v1+json')
      equal(json.layers[0].mediaType, 'application/vnd.wasm.content.layer.v1+wasm')
      await published.delete('1')
    },
    async 'an artifact as the CNCF describes it, by oras'({ registry, folder, run }) {
      await Bun.write(join(folder, 'pushed.wasm'), wasmModule)
      const config = {
        created: '2026-01-01T00:00:00Z',
        architecture: 'wasm',
        os: 'wasip2',
        layerDigests: [],
        component: {},
      }
      await Bun.write(join(folder, 'config.json'), JSON.stringify(config))
      const name = `${registry}/wasm/component:1`
      const typed = [
        '--config',
        'config.json:application/vnd.wasm.config.v0+json',
        'pushed.wasm:application/wasm',
      ]
      await run`oras push --plain-http ${name} ${typed}`
      await run`oras pull --plain-http --output pulled ${name}`
      await run`cmp pushed.wasm ${join('pulled', 'pushed.wasm')}`
      await run`oras manifest delete --plain-http --force ${name}`
      await rejects(run`oras pull --plain-http ${name}`, /not found/)
    },
    async 'an image for containerd beside another platform, by crane'({ registry, folder, run }) {
      const files = [{ 'module.wasm': wasmModule }]
      const platforms = [
        { os: 'linux', architecture: 'amd64' },
        { os: 'wasip1', architecture: 'wasm' },
      ]
      const images = await Promise.all(platforms.map((platform) => makeImage({ ...platform, files })))
      await writeLayout(join(folder, 'pushed'), makeIndex(images), '1')
      const name = `${registry}/wasm/image:1`
      await run`crane push --insecure pushed ${name}`
      for (const platform of platforms) {
        const flag = ['--platform', `${platform.os}/${platform.architecture}`]
        const { os, architecture } = JSON.parse(await run`crane config --insecure ${flag} ${name}`)
        deepEqual({ os, architecture }, platform)
      }
      await run`crane pull --insecure --format oci ${name} pulled`
      await run`diff --recursive pushed/blobs pulled/blobs`
      await new Published(registry, 'wasm/image').delete('1')
    },
  },
}
