import { manifestMediaType } from '../../lib/registry.ts'
import type { Image } from '../push.ts'
import { Connection } from './connection.ts'

const repository = 'bench/images'

/** An image whose bytes are in memory. */
export interface LoadedImage extends Image {
  tag: string
  configBytes: Uint8Array
  layerBytes: Uint8Array
}

/**
 * Pushes small images on some keep-alive connections, one after another on each, until the time is over: config and
 * layer by POST and PUT, then the manifest under a tag of its own.
 */
export async function pushImages(port: number, images: LoadedImage[], connections: number, seconds: number) {
  const opened = await Promise.all(Array.from({ length: connections }, () => Connection.open(port)))
  const times: number[] = []
  const began = performance.now()
  let next = 0
  const loops = opened.map(async (connection) => {
    while (performance.now() - began < seconds * 1000) {
      const image = images[next++]
      if (image === undefined) return
      const imageBegan = performance.now()
      await pushImage(connection, image)
      times.push(performance.now() - imageBegan)
    }
  })
  await Promise.all(loops)
  const milliseconds = performance.now() - began
  for (const connection of opened) connection.close()
  return { times, milliseconds }
}

async function pushImage(connection: Connection, image: LoadedImage): Promise<void> {
  await pushBlob(connection, image.config.digest, image.configBytes)
  await pushBlob(connection, image.layer.digest, image.layerBytes)
  const path = `/v2/${repository}/manifests/${image.tag}`
  await connection.expect(201, 'PUT', path, image.manifest, `Content-Type: ${manifestMediaType}\r\n`)
}

async function pushBlob(connection: Connection, digest: string, bytes: Uint8Array): Promise<void> {
  const { location } = await connection.expect(202, 'POST', `/v2/${repository}/blobs/uploads/`)
  const path = `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`
  await connection.expect(201, 'PUT', path, bytes, 'Content-Type: application/octet-stream\r\n')
}
