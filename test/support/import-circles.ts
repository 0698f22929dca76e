import type { SourceFile } from './source-file.ts'
import { sourceImports } from './tidy-imports.ts'

/** The files of src/ that import each other in a circle, types too: a circle each, from a file back to itself. */
export function importCircles(files: SourceFile[]): string[] {
  const imports = new Map(files.map((file) => [file.path.slice('src/'.length), sourceImports(file)]))
  const finished = new Set<string>()
  const path: string[] = []
  const circles: string[] = []
  const follow = (file: string) => {
    const begin = path.indexOf(file)
    if (begin >= 0) circles.push([...path.slice(begin), file].join(' -> '))
    if (begin >= 0 || finished.has(file)) return
    path.push(file)
    for (const imported of imports.get(file) ?? []) follow(imported)
    path.pop()
    finished.add(file)
  }
  for (const file of imports.keys()) follow(file)
  return circles
}
