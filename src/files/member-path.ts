import type { TarMember } from './tar-reader.ts'

/** The longest path and the longest name of a file, in bytes: those of Linux. */
const PATH_BYTES_MAX = 4096
const NAME_BYTES_MAX = 255

/** How many directories a file can be in. */
export const DEPTH_MAX = 256

/** The prefix of files that delete others (OCI image-spec, layer.md, "Whiteouts"). */
const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** What AUFS keeps for itself; never a part of the file system. */
const AUFS = '.wh..wh.'

/** Where a member of a layer belongs. */
export type MemberPlace =
  | { does: 'add'; path: string[] }
  /** Deletes what lower layers have at the path. */
  | { does: 'delete'; path: string[] }
  /** Hides what lower layers have in the directory. */
  | { does: 'hide'; path: string[] }
  | { does: 'nothing' }
  /** It cannot be shown. `reason` says why. */
  | { does: 'refuse'; path: string; reason: string }

/** Decides where a member belongs from its name. Leading slashes are dropped, as runtimes do. */
export function placeOf({ name }: Pick<TarMember, 'name'>): MemberPlace {
  const text = pathText(name)
  if (name.length > PATH_BYTES_MAX)
    return {
      does: 'refuse',
      path: text.slice(0, 200),
      reason: `its path is longer than ${PATH_BYTES_MAX} bytes`,
    }
  const path = text.split('/').filter((part) => part !== '' && part !== '.')
  if (path.includes('..')) return { does: 'refuse', path: text, reason: 'its path contains ".."' }
  if (path.length > DEPTH_MAX)
    return { does: 'refuse', path: text, reason: `it is in more than ${DEPTH_MAX} directories` }
  if (path.some((part) => part.length * 3 > NAME_BYTES_MAX && Buffer.byteLength(part) > NAME_BYTES_MAX))
    return { does: 'refuse', path: text, reason: `its name is longer than ${NAME_BYTES_MAX} bytes` }
  return whiteoutOf(path)
}

function whiteoutOf(path: string[]): MemberPlace {
  const last = path.at(-1)
  if (last === undefined || !last.startsWith(WHITEOUT)) return { does: 'add', path }
  const parent = path.slice(0, -1)
  if (last === OPAQUE) return { does: 'hide', path: parent }
  if (last.startsWith(AUFS) || last === WHITEOUT) return { does: 'nothing' }
  return { does: 'delete', path: [...parent, last.slice(WHITEOUT.length)] }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Decodes a name. Bytes that are not UTF-8 are shown as `\xNN`, so that different names stay different. */
export function pathText(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    return [...bytes]
      .map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`))
      .join('')
  }
}
