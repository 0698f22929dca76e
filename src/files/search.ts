import { type EntryRow, KIND, type LayerIndex } from './layer-index.ts'
import type { Found, View } from './view.ts'

/** How many matches are read at a time, and how long one call searches before it returns what it has. */
const MATCHES_STEP = 100
const SEARCH_MS_MAX = 1000

/** Where a search continues: a layer by its number, and a position in its index. */
export interface SearchPosition {
  layer: number
  dir: number
  name: string
}

export interface Match extends Found {
  path: string[]
}

export interface MatchPage {
  items: Match[]
  next: SearchPosition | undefined
}

/**
 * Finds the entries below a directory whose names contain a text, without regard to the case of ASCII letters. Layer by
 * layer, the uppermost first: an entry is found in the layer that it is from.
 */
export function search(
  view: View,
  layers: readonly LayerIndex[],
  {
    text,
    below,
    after,
    limit,
  }: { text: string; below: readonly string[]; after: SearchPosition; limit: number },
): MatchPage {
  const until = performance.now() + SEARCH_MS_MAX
  const wanted = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  const items: Match[] = []
  let position = after
  for (let index = layers[position.layer]; index; index = layers[position.layer]) {
    for (;;) {
      const rows = index.search(wanted, position, MATCHES_STEP)
      for (const row of rows) {
        if (items.length === limit) return { items, next: position }
        position = { ...position, dir: row.dir, name: row.name }
        const match = shown(view, index, row, below)
        if (match) items.push(match)
      }
      if (rows.length < MATCHES_STEP) break
      if (performance.now() > until) return { items, next: position }
    }
    position = { layer: position.layer + 1, dir: 0, name: '' }
    if (performance.now() > until && position.layer < layers.length) return { items, next: position }
  }
  return { items, next: undefined }
}

/** Returns the match if the view shows this entry, and not one of another layer at its path. */
function shown(view: View, index: LayerIndex, row: EntryRow, below: readonly string[]): Match | undefined {
  const parent = index.pathOf(row.dir)
  if (parent === undefined || !below.every((part, at) => parent[at] === part)) return undefined
  const path = [...parent, row.name]
  const found = view.find(path)
  const isThis = found?.index === index && found.row.name === row.name && found.row.kind === row.kind
  return isThis && (row.kind !== KIND.directory || found.row.child === row.child)
    ? { ...found, path }
    : undefined
}
