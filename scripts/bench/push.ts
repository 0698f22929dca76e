import { mkdir, writeFile as writeContent } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Peer } from '../lib/peers.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { bodyOf, type Piece } from './lib/random-file.ts'

const requestSecondsMax = 300

/** Where to push to. */
export type Target = Omit<Peer, keyof AsyncDisposable>

/** Pushes a blob as clients do with layers: POST, one PATCH of all bytes, PUT. Nothing is hashed here. */
export async function pushBlob({ port }: Target, repository: string, piece: Piece): Promise<void> {
  const origin = `http://127.0.0.1:${port}`
  const started = await send(202, 'POST', `${origin}/v2/${repository}/blobs/uploads/`)
  const appended = await send(202, 'PATCH', locationOf(started, origin), bodyOf(piece))
  const close = new URL(locationOf(appended, origin))
  close.searchParams.set('digest', piece.digest)
  await send(201, 'PUT', close.href)
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
export async function publishImage(peer: Target, repository: string, image: Image) {
  const config = await publishBlob(peer, repository, image.config)
  const layer = await publishBlob(peer, repository, image.layer)
  const manifest = `/v2/${repository}/manifests/latest`
  if (peer.name === 'nginx') {
    await writeFile(peer, manifest, [image.manifest])
  } else {
    const headers = { 'content-type': manifestMediaType }
    await send(201, 'PUT', `http://127.0.0.1:${peer.port}${manifest}`, image.manifest, headers)
  }
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

async function send(
  status: number,
  method: string,
  url: string,
  body?: Blob | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Response> {
  const signal = AbortSignal.timeout(requestSecondsMax * 1000)
  const response = await fetch(url, { method, headers, signal, ...(body && { body }) })
  const text = await response.text()
  if (response.status !== status) throw new Error(`${method} ${url}: ${response.status} ${text}`)
  return response
}

/** Returns the Location of an upload, which is absolute with some registries and a path with others. */
function locationOf({ headers }: Response, origin: string): string {
  return new URL(headers.get('location') ?? '', origin).href
}
