import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { hex } from '../../lib/image.ts'
import { imageManifest } from '../../lib/registry.ts'

const imagesARepository = 100
const blobBytes = 256

/**
 * Lays images into the folder of a docker-registry as its file system driver keeps them, which is faster than to push
 * them: a config and a layer each, and a tag, which `untagged` of them have not.
 */
export function layImages(data: string, images: number, untagged: number): void {
  const root = join(data, 'docker/registry/v2')
  for (let i = 0; i < images; i++) {
    const repository = join(root, `repositories/bench/app-${Math.floor(i / imagesARepository)}`)
    const blobs = [randomBytes(blobBytes), randomBytes(blobBytes)]
    const [config, layer] = blobs.map((bytes) => ({
      digest: `sha256:${putBlob(root, bytes)}`,
      size: blobBytes,
    }))
    if (config === undefined || layer === undefined) return
    const manifest = putBlob(root, imageManifest(config, [layer], `image ${i}`))
    for (const { digest } of [config, layer])
      link(join(repository, '_layers/sha256', hexOf(digest)), hexOf(digest))
    link(join(repository, '_manifests/revisions/sha256', manifest), manifest)
    if (i % (images / untagged) === 0) continue
    const tag = join(repository, `_manifests/tags/v${i}`)
    link(join(tag, 'current'), manifest)
    link(join(tag, 'index/sha256', manifest), manifest)
  }
}

function putBlob(root: string, bytes: Uint8Array): string {
  const hash = hex(bytes)
  write(join(root, 'blobs/sha256', hash.slice(0, 2), hash, 'data'), bytes)
  return hash
}

function link(folder: string, hex: string): void {
  write(join(folder, 'link'), `sha256:${hex}`)
}

function write(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

function hexOf(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1)
}
