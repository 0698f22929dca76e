import { dirname } from 'node:path/posix'
import { unpackTar } from 'modern-tar'
import { sha256 } from '../lib/image.ts'

/** The entries of a file system by path, with their kind and content. */
export type FileSystem = Map<string, string>

/** Applies layers, base first. See "Applying Changesets" of the image specification. */
export async function applyLayers(layers: Uint8Array[]): Promise<FileSystem> {
  const files: FileSystem = new Map()
  for (const layer of layers) await applyLayer(files, layer)
  return new Map([...files].sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function applyLayer(files: FileSystem, layer: Uint8Array): Promise<void> {
  const tar = layer[0] === 0x1f ? Bun.gunzipSync(Uint8Array.from(layer)) : layer
  const added = new Map<string, string>()
  for (const { header, data } of await unpackTar(tar)) {
    const path = header.name.replace(/^\.?\//, '').replace(/\/$/, '')
    const folder = dirname(path)
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (name === '.wh..wh..opq') remove(files, folder, false)
    else if (name.startsWith('.wh.'))
      remove(files, `${folder === '.' ? '' : `${folder}/`}${name.slice(4)}`, true)
    else if (path !== '') added.set(path, describe(header, data))
  }
  for (const [path, what] of added) files.set(path, what)
}

function describe(
  { type = 'file', mode = 0, linkname = '' }: { type?: string; mode?: number; linkname?: string },
  data: Uint8Array | undefined,
): string {
  return `${type} ${mode.toString(8)} ${linkname} ${sha256(data ?? new Uint8Array())}`
}

function remove(files: FileSystem, path: string, itself: boolean): void {
  for (const known of files.keys()) {
    if ((itself && known === path) || known.startsWith(`${path}/`)) files.delete(known)
  }
}
