import { ENTRY_KINDS, type EntryKind, KIND } from './layer-index.ts'
import type { Found } from './view.ts'

/** A file, directory or other entry of a layer or an image. */
export interface ShownEntry {
  name: string
  kind: EntryKind
  /** The layer that it is from. */
  layer: string
  /** Bytes; of a hard link, those of the file that it leads to, if that is there. */
  size: number
  /** Permission bits. Undefined for a directory that the archive does not contain, only files in it. */
  mode: number | undefined
  uid: number | undefined
  gid: number | undefined
  /** Milliseconds since 1970. */
  modifiedAt: number | undefined
  /** The target of a link. */
  link: string | undefined
  /** The SHA-256 of its content, in hexadecimal. */
  hash: string | undefined
  /** Whether a directory hides what lower layers have in it. */
  isOpaque: boolean
}

/** The largest time that a Date can hold, in milliseconds. */
const TIME_MAX = 8.64e15

/** @param target the file that a hard link leads to, or the entry itself */
export function toEntry({ row, index }: Found, target: Found | undefined): ShownEntry {
  const { name, kind, mode, uid, gid, mtime, link } = row
  const content = target?.row ?? row
  const time = mtime === null ? Number.NaN : Math.round(mtime * 1000)
  return {
    name,
    kind: ENTRY_KINDS[kind] ?? 'file',
    layer: index.layer,
    size: content.size,
    mode: mode ?? undefined,
    uid: uid ?? undefined,
    gid: gid ?? undefined,
    modifiedAt: Math.abs(time) <= TIME_MAX ? time : undefined,
    link: link ?? undefined,
    hash: content.hash === null ? undefined : Buffer.from(content.hash).toString('hex'),
    isOpaque: kind === KIND.directory && row.hides !== 0,
  }
}
