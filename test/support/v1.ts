import { gzipSync } from 'node:zlib'
import { imageManifest, json, type Named, named } from './content.ts'

/** An image that old clients can read, with its blobs. */
export interface OldImage {
  manifest: Named
  blobs: Named[]
  /** The layers, base first; the history has an empty step after each. */
  layers: Named[]
}

/** Creates an image with a history; `more` makes it a different one. */
export function oldImage(more: object = {}, layerCount = 2): OldImage {
  const layers = Array.from({ length: layerCount }, (_, number) =>
    named(gzipSync(`layer ${number} `.repeat(2000))),
  )
  const config = json({
    architecture: 'amd64',
    os: 'linux',
    created: '2026-01-02T03:04:05Z',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [] },
    history: layers.flatMap(() => [{ created_by: 'COPY' }, { created_by: 'ENV', empty_layer: true }]),
    ...more,
  })
  return { manifest: imageManifest(config, layers), blobs: [config, ...layers], layers }
}
