import { mkdir, writeFile as writeContent } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Peer } from '../lib/peers.ts'
import { imageManifest, Registry } from '../lib/registry.ts'
import { bodyOf, type Piece } from './lib/random-file.ts'

/** Where to push to. */
export type Target = Pick<Peer, 'name' | 'port' | 'data'>

/** Pushes a blob as clients do with layers: POST, one PATCH of all bytes, PUT. Nothing is hashed here. */
export async function pushBlob({ port }: Target, repository: string, piece: Piece): Promise<void> {
  const registry = new Registry(`127.0.0.1:${port}`)
  const location = await registry.append(await registry.startUpload(repository), bodyOf(piece))
  await registry.closeUpload(location, piece.digest)
}

/** An image of one layer, with the bytes of its manifest. */
export interface Image {
  config: Piece
  layer: Piece
  manifest: Uint8Array
}

export function imageOf(config: Piece, layer: Piece): Image {
  const note = 'an image of one layer of random bytes, whose manifest is about as long as most are'
  return { config, layer, manifest: imageManifest(config, [layer], note.repeat(5)) }
}

/** Pushes an image to a registry, or writes it as files for nginx, and returns its paths. */
export async function publishImage(peer: Target, repository: string, image: Image, tag = 'latest') {
  const config = await publishBlob(peer, repository, image.config)
  const layer = await publishBlob(peer, repository, image.layer)
  const manifest = `/v2/${repository}/manifests/${tag}`
  if (peer.name === 'nginx') await writeFile(peer, manifest, [image.manifest])
  else await new Registry(`127.0.0.1:${peer.port}`).pushManifest(repository, tag, image.manifest)
  return { manifest, config, layer }
}

/** Stores a blob in the same way, and returns its path. */
export async function publishBlob(peer: Target, repository: string, piece: Piece): Promise<string> {
  const path = `/v2/${repository}/blobs/${piece.digest}`
  if (peer.name === 'nginx') await writeFile(peer, path, bodyOf(piece).stream())
  else await pushBlob(peer, repository, piece)
  return path
}

async function writeFile(peer: Target, path: string, chunks: AsyncIterable<Uint8Array> | Uint8Array[]) {
  const file = join(peer.data, path)
  await mkdir(dirname(file), { recursive: true })
  await writeContent(file, chunks)
}
