/** The folder of the data folder with the indexes of layers and the comparisons of images. */
export const INDEXES_FOLDER = 'file-indexes'

/** Returns the name of the file with the index of a layer. */
export function indexName(layer: string): string {
  return `layer-${layer.replace(':', '-')}.db`
}

/** Returns the name of the file with the comparison of two lists of layers. */
export function changesName(from: readonly string[], to: readonly string[]): string {
  const hash = new Bun.CryptoHasher('sha256').update(JSON.stringify([from, to])).digest('hex')
  return `changes-${hash}.db`
}
