import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { makeImage } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { imageIn, type Trial } from './trial.ts'

/** An emulated start takes ten times as long. */
const emulatedStartSecondsMax = 180

/** The image for arm64, whose files run under qemu. */
export const arm64: Trial = {
  name: 'arm64',
  tools: ['qemu-aarch64', 'skopeo'],
  cases: {
    async 'the image starts, takes a push, and gives it back'({ folder, layout }) {
      const { 'qemu-aarch64': qemu = '', skopeo = '' } = await bringTools(['qemu-aarch64', 'skopeo'])
      const [image, root] = [join(folder, 'image'), join(folder, 'root')]
      const copy = ['copy', '--quiet', '--override-arch', 'arm64', `oci:${imageIn(layout)}`, `dir:${image}`]
      await runCommand([skopeo, ...copy])
      const manifest = JSON.parse(await readFile(join(image, 'manifest.json'), 'utf8'))
      await runCommand(['mkdir', root])
      const extract = ['tar', '--extract', '--gzip', '--directory', root, '--file']
      for (const { digest } of manifest.layers) await runCommand([...extract, join(image, digest.slice(7))])
      const executable = join(folder, 'cay')
      const script = `#!/bin/sh\nexec ${qemu} -L ${root} ${root}/usr/bin/cay "$@"\n`
      await writeFile(executable, script, { mode: 0o755 })
      await using server = await startServer({
        executable,
        env: { CAY_CONTAINER: 'true' },
        startSecondsMax: emulatedStartSecondsMax,
      })
      await pushAndPull(server.address)
    },
  },
}

/** Pushes an image, pulls it, and compares every byte. */
async function pushAndPull(address: string): Promise<void> {
  const image = await makeImage({ architecture: 'arm64', layerBytes: 256 * 1024 })
  const registry = new Registry(address)
  await registry.pushContent('smoke/image', 'latest', image)
  await registry.pullContent('smoke/image', 'latest', image)
}
