import { invalidCursor } from '../page.ts'

/** Where a list of files continues. A directory uses only the name, and a list of changes only `dir`, a number. */
export interface Position {
  layer: number
  dir: number
  name: string
}

const BEGINNING: Position = { layer: 0, dir: 0, name: '' }

/** Formats a position as a cursor. Names can contain anything, so they are encoded. */
export function cursorOf({ layer, dir, name }: Position): string {
  return `${layer}.${dir}.${Buffer.from(name).toString('base64url')}`
}

/** Parses a cursor. Throws REQUEST_INVALID. */
export function positionOf(cursor: string | undefined): Position {
  if (cursor === undefined || cursor === '') return BEGINNING
  const [, layer, dir, name] = /^(\d{1,9})\.(\d{1,9})\.([\w-]*)$/.exec(cursor) ?? []
  if (name === undefined) throw invalidCursor()
  return { layer: Number(layer), dir: Number(dir), name: Buffer.from(name, 'base64url').toString() }
}
