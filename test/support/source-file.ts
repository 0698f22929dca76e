import { type Comment, type Node, parseSync, Visitor, type VisitorObject } from 'oxc-parser'

/** A file of the project, parsed once for all the rules that read it. */
export interface SourceFile {
  /** From the root of the project, with slashes: `src/oci/digest.ts`. */
  path: string
  text: string
  body: Node[]
  comments: Comment[]
  /** What it imports or exports from, in the order of the source, types and `import()` too. */
  imports: string[]
  /** Calls the visitor's functions for the nodes of the file. */
  visit(visitor: VisitorObject): void
  /** The line of a place in the text, from 1. */
  lineAt(offset: number): number
}

/**
 * Parses a file.
 * @throws Error when it is not TypeScript.
 */
export function parseSource(path: string, text: string): SourceFile {
  const { program, comments, errors, module } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`)
  const file: SourceFile = {
    path,
    text,
    body: program.body,
    comments,
    imports: module.staticImports.map((found) => found.moduleRequest.value),
    visit: (visitor) => new Visitor(visitor).visit(program),
    lineAt: (offset) => text.slice(0, offset).split('\n').length,
  }
  const add = (source: Node | null) => {
    if (source?.type === 'Literal' && typeof source.value === 'string') file.imports.push(source.value)
  }
  file.visit({
    ImportExpression: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
  })
  return file
}
