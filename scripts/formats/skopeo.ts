import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { containersHome } from '../clients/containers/containers-home.ts'
import { runCommand } from '../lib/command.ts'
import { bringTools } from '../toolchain/toolchain.ts'

/** Returns a function that runs skopeo in `folder`, with an empty home below it. */
export async function skopeoIn(folder: string): Promise<(...args: string[]) => Promise<string>> {
  const home = join(folder, 'home')
  await mkdir(home)
  const { skopeo = '' } = await bringTools(['skopeo'])
  const { env: settings } = await containersHome(home)
  const env = { PATH: '/usr/bin:/bin', HOME: home, TMPDIR: home, ...settings }
  return (...args) => runCommand([skopeo, ...args], { cwd: folder, env })
}

/** Returns the layers of an image that skopeo copied to a `dir:`, as they were sent, base first. */
export async function readLayers(folder: string): Promise<Uint8Array<ArrayBuffer>[]> {
  const manifest = await Bun.file(join(folder, 'manifest.json')).json()
  const digests: string[] = manifest.fsLayers
    ? manifest.fsLayers.map(({ blobSum }: { blobSum: string }) => blobSum).reverse()
    : manifest.layers.map(({ digest }: { digest: string }) => digest)
  return await Promise.all(digests.map((digest) => Bun.file(join(folder, digest.slice(7))).bytes()))
}
