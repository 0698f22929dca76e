import { existsSync } from 'node:fs'
import { mkdir, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../../lib/image.ts'
import { imageManifest } from '../../lib/registry.ts'
import { temporaryFolder } from '../../lib/temporary-folder.ts'
import { bytesOf, RandomFile } from '../lib/random-file.ts'

/** Where the bytes are, so that no disk is measured. */
export const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

export const repository = 'bench/app'

/** The files of an upstream: one image, whose only layer has so many random bytes. */
export interface Content extends AsyncDisposable {
  folder: string
  /** The layer. */
  file: string
  size: number
  digest: string
  manifestDigest: string
  /** Paths below the repository. */
  paths: { tag: string; manifest: string; layer: string }
}

/** @param below the folder of an upstream that it is added to; by default it gets one of its own */
export async function makeContent(size: number, below?: string): Promise<Content> {
  const folder = await temporaryFolder('bench-upstream', memory)
  const root = join(below ?? folder.path, 'v2', repository)
  await mkdir(join(root, 'blobs'), { recursive: true })
  const random = RandomFile.make(folder.path, size + 4096)
  const layer = random.piece(0, size)
  const config = random.piece(size, 1024)
  const file = join(root, 'blobs', layer.digest)
  await symlink(random.path, file)
  await Bun.$`truncate --size ${size} ${random.path}`.quiet()
  await Bun.write(join(root, 'blobs', config.digest), bytesOf(config))
  const manifest = imageManifest(config, [layer], 'an image of one layer')
  const manifestDigest = sha256(manifest)
  for (const reference of ['latest', manifestDigest]) {
    await Bun.write(join(root, 'manifests', reference), manifest)
    await Bun.write(join(root, 'manifests', `${reference}.digest`), manifestDigest)
  }
  const paths = {
    tag: 'manifests/latest',
    manifest: `manifests/${manifestDigest}`,
    layer: `blobs/${layer.digest}`,
  }
  return {
    folder: below ?? folder.path,
    file: random.path,
    size,
    digest: layer.digest,
    manifestDigest,
    paths,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

/**
 * Writes so many bytes to memory and frees them. The first write to a page of a virtual machine is much slower than any
 * later one, and only the first contestant would pay for it.
 */
export async function warmMemory(bytes: number): Promise<void> {
  await using folder = await temporaryFolder('bench-warm', memory)
  await Bun.$`head --bytes ${bytes} /dev/zero > ${join(folder.path, 'zero')}`.quiet()
}
