import { type EntryRow, KIND, type LayerIndex } from './layer-index.ts'
import type { Found, View } from './view.ts'

/** How many matches are read at a time. */
const MATCHES_STEP = 100

/** Where a search continues: a layer by its number, and a position in its index. */
export interface SearchPosition {
  layer: number
  dir: number
  name: string
}

export interface Match extends Found {
  /** The number of its layer: an image can have the same layer twice. */
  layer: number
  path: string[]
}

export interface MatchPage {
  items: Match[]
  next: SearchPosition | undefined
}

/**
 * Finds the entries below a directory whose names contain a text, without regard to the case of ASCII letters. Layer by
 * layer, the uppermost first: an entry is found in the layer that it is from.
 *
 * @param query.msMax milliseconds after which the call returns what it has
 */
export function search(
  view: View,
  layers: readonly LayerIndex[],
  query: {
    text: string
    below: readonly string[]
    after: SearchPosition
    limit: number
    msMax: number
  },
): MatchPage {
  const { text, below, after, limit, msMax } = query
  const until = performance.now() + msMax
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
        if (match) items.push({ ...match, layer: position.layer })
        // A single look at a deep path of many layers can take 100 ms.
        if (performance.now() > until) return { items, next: position }
      }
      if (rows.length < MATCHES_STEP) break
    }
    position = { layer: position.layer + 1, dir: 0, name: '' }
    if (performance.now() > until && position.layer < layers.length) return { items, next: position }
  }
  return { items, next: undefined }
}

/** Returns the match if the view shows this entry, and not one of another layer at its path. */
function shown(
  view: View,
  index: LayerIndex,
  row: EntryRow,
  below: readonly string[],
): Omit<Match, 'layer'> | undefined {
  const parent = index.pathOf(row.dir)
  if (parent === undefined || !below.every((part, at) => parent[at] === part)) return undefined
  const path = [...parent, row.name]
  const found = view.find(path)
  const isThis = found?.index === index && found.row.name === row.name && found.row.kind === row.kind
  return isThis && (row.kind !== KIND.directory || found.row.child === row.child)
    ? { ...found, path }
    : undefined
}
