import type { LayerContent } from './archive.ts'
import type { LayerProblem } from './layer-index.ts'
import type { SearchPosition, ShownEntry } from './view.ts'

/** The layers whose files are shown: digests, the uppermost first. */
export interface FileSource {
  layers: readonly string[]
  /** Whether they are an image, and not a single layer, which also shows its whiteouts. */
  isImage: boolean
}

/** A message to the thread that reads files. */
export type FileQuestion =
  | { do: 'missing'; layers: readonly string[] }
  | { do: 'build'; layer: string; content: LayerContent; needed: readonly string[] }
  | { do: 'compare'; name: string; from: FileSource; to: FileSource }
  | { do: 'cancel'; work: string }
  | { do: 'list'; source: FileSource; path: readonly string[]; after: string; limit: number }
  | ({ do: 'search'; source: FileSource; limit: number } & SearchQuery)
  | { do: 'locate'; source: FileSource; path: readonly string[] }
  | { do: 'changes'; name: string; after: number; limit: number }
  | { do: 'open'; account: string; content: LayerContent; location: FileLocation }
  | { do: 'read'; stream: number }
  | { do: 'close'; stream: number }

export interface SearchQuery {
  text: string
  below: readonly string[]
  after: SearchPosition
}

/** An entry with its path in the layer or image. */
export interface ListedEntry extends ShownEntry {
  path: string
}

export interface ListAnswer {
  items: ListedEntry[]
  /** The name to continue after. */
  next: string | undefined
  problems: LayerProblem[]
}

export interface SearchAnswer {
  items: ListedEntry[]
  next: SearchPosition | undefined
}

export const DIFFERENCES = ['kind', 'content', 'target', 'mode', 'owner'] as const
export type Difference = (typeof DIFFERENCES)[number]

/** How two images differ at a path. */
export interface Change {
  path: string
  change: 'added' | 'changed' | 'removed'
  /** What differs. */
  differs: Difference[]
  from?: ShownEntry | undefined
  to?: ShownEntry | undefined
}

export interface ChangesSummary {
  added: number
  changed: number
  removed: number
  /** The bytes of files in the second image without those of the same paths in the first. May be negative. */
  bytes: number
  /** Whether there are more changes than are stored. */
  truncated: boolean
}

export interface ChangesAnswer {
  items: Change[]
  next: number | undefined
  summary: ChangesSummary
}

/** Where the content of a file is. */
export interface FileLocation {
  layer: string
  /** Its first byte in the uncompressed archive. */
  start: number
  /** Bytes. */
  size: number
}

/** How far work has come: bytes of the layer, or entries compared. Sent without a call. */
export interface WorkProgress {
  /** The digest of the layer, or the name of the comparison. */
  work: string
  done: number
}

/**
 * Why a message failed. `missing`: an index was removed meanwhile and must be created again. `unreadable`: the
 * content cannot be shown, and never will. `absent`: no such path. `not-a-file` and `not-a-directory`: something else
 * is there.
 */
export interface FileFailure {
  reason:
    | 'missing'
    | 'unreadable'
    | 'absent'
    | 'not-a-file'
    | 'not-a-directory'
    | 'full'
    | 'cancelled'
    | 'failed'
  message: string
}

/** A failure that the thread reports. */
export class FileError extends Error {
  override name = 'FileError'
  readonly reason: FileFailure['reason']

  constructor(reason: FileFailure['reason'], message: string) {
    super(message)
    this.reason = reason
  }
}
