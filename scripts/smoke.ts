import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from './lib/command.ts'
import { makeImage, sha256 } from './lib/image.ts'
import { Registry } from './lib/registry.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

/** The folder of Debian's `libc6-arm64-cross` with the libraries of arm64 executables. */
const libraries = '/usr/aarch64-linux-gnu'

/**
 * Tests an executable for Linux on arm64 under qemu: its version, a push and a pull, and a stop.
 * @throws Error with what failed, or what to install.
 */
export async function smoke(path: string): Promise<void> {
  const qemu = Bun.which('qemu-aarch64')
  if (!qemu || !existsSync(libraries)) {
    throw new Error(
      'this needs qemu and the libraries of arm64: `apt-get install qemu-user libc6-arm64-cross`',
    )
  }
  await using folder = await temporaryFolder('smoke')
  const executable = join(folder.path, 'cay')
  await writeFile(executable, `#!/bin/sh\nexec ${qemu} -L ${libraries} ${path} "$@"\n`, { mode: 0o755 })
  const version = (await runCommand([executable, '--version'])).trim()
  await using server = await startServer({ executable })
  const blobs = await pushAndPull(server.address)
  console.log(`${path} (${version}) runs under qemu: pushed and pulled ${blobs} blobs`)
}

/** Pushes an image, pulls it, compares every byte, and returns its number of blobs. */
async function pushAndPull(address: string): Promise<number> {
  const image = await makeImage({ architecture: 'arm64', layerBytes: 256 * 1024 })
  await new Registry(address).pushContent('smoke/image', 'latest', image)
  const base = `http://${address}/v2/smoke/image`
  for (const digest of image.blobs.keys()) {
    const isManifest = digest === image.descriptor.digest
    const response = await fetch(isManifest ? `${base}/manifests/latest` : `${base}/blobs/${digest}`)
    const bytes = await response.bytes()
    if (!response.ok || sha256(bytes) !== digest) throw new Error(`${response.url}: ${response.status}`)
  }
  return image.blobs.size
}
