import { sha256 } from '../lib/image.ts'

/** A layer in a registry, which is read in ranges. */
export interface RemoteLayer {
  size: number
  annotations?: Record<string, string>
  read(first: number, last: number): Promise<Uint8Array>
}

/** The content of each regular file of a layer, by its path. */
type Files = Map<string, Uint8Array>

/** An entry of either table of contents: a file, or another chunk of one. */
interface Entry {
  type: string
  name: string
  offset?: number | undefined
  endOffset?: number | undefined
  size?: number
  chunkSize?: number
  chunkOffset?: number
  chunkDigest?: string
  digest?: string
}

/**
 * Reads the files of a zstd:chunked layer as a client does that has some of them already: its table of contents, and
 * then each file, by a range each.
 * @throws Error if the bytes of a range do not have the digest that is written of them.
 */
export async function readZstdChunked(layer: RemoteLayer): Promise<Files> {
  const position = layer.annotations?.['io.containers.zstd-chunked.manifest-position'] ?? ''
  const [offset = Number.NaN, length = Number.NaN] = position.split(':').map(Number)
  const table = await layer.read(offset, offset + length - 1)
  verify(table, layer.annotations?.['io.containers.zstd-chunked.manifest-checksum'])
  const entries: Entry[] = JSON.parse(text(Bun.zstdDecompressSync(table))).entries
  // A file's entry, which is its first chunk's too, says where the file ends.
  let end: number | undefined
  const bounded = entries.map((entry, number) => {
    const next = entries[number + 1]
    if (entry.type === 'reg') end = entry.endOffset
    return { ...entry, endOffset: next?.type === 'chunk' ? next.offset : end }
  })
  return await readEntries(layer, bounded, Bun.zstdDecompressSync)
}

const footerBytes = 51

/**
 * Reads the files of an eStargz layer by ranges as a lazy snapshotter does: its footer, which says where its table of
 * contents is, that table, and then each chunk of each file.
 * @throws Error if the bytes of a range do not have the digest that is written of them.
 */
export async function readEstargz(layer: RemoteLayer): Promise<Files> {
  const footer = text(await layer.read(layer.size - footerBytes, layer.size - 1))
  const [, offset = ''] = /([0-9a-f]{16})STARGZ/.exec(footer) ?? []
  const start = Number.parseInt(offset, 16)
  const table = await layer.read(start, layer.size - footerBytes - 1)
  const archive = new Bun.Archive(Bun.gunzipSync(Buffer.from(table)))
  const json = (await (await archive.files()).get('stargz.index.json')?.bytes()) ?? new Uint8Array()
  verify(json, layer.annotations?.['containerd.io/snapshot/stargz/toc.digest'])
  const entries: Entry[] = JSON.parse(text(json)).entries
  // A chunk's gzip stream begins at its offset; between it and that of the next chunk are headers, compressed, too.
  const offsets = [...new Set(entries.flatMap((entry) => entry.offset ?? [])), start].sort((a, b) => a - b)
  const bounded = entries.map((entry) => ({
    ...entry,
    endOffset: offsets.find((next) => next > (entry.offset ?? start)) ?? start,
  }))
  return await readEntries(layer, bounded, (bytes) => Bun.gunzipSync(Buffer.from(bytes)))
}

async function readEntries(
  layer: RemoteLayer,
  entries: Entry[],
  decompress: (bytes: Uint8Array) => Uint8Array,
): Promise<Files> {
  const files: Files = new Map()
  let fileBytes = 0
  for (const entry of entries) {
    const { type, offset, endOffset } = entry
    if (type === 'reg') fileBytes = entry.size ?? 0
    if ((type !== 'reg' && type !== 'chunk') || offset === undefined || endOffset === undefined) continue
    const wanted = entry.chunkSize || fileBytes - (entry.chunkOffset ?? 0)
    const bytes = decompress(await layer.read(offset, endOffset - 1)).subarray(0, wanted)
    verify(bytes, entry.chunkDigest || entry.digest)
    const path = entry.name.replace(/^\.?\//, '')
    files.set(path, Buffer.concat([files.get(path) ?? new Uint8Array(), bytes]))
  }
  return files
}

function verify(bytes: Uint8Array, digest: string | undefined): void {
  if (sha256(bytes) !== digest) throw new Error(`bytes of ${digest} have the digest ${sha256(bytes)}`)
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
