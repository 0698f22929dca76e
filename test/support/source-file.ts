import { type Comment, type Node, parseSync, Visitor, type VisitorObject } from 'oxc-parser'

/** A source file, parsed once for all rules. */
export interface SourceFile {
  /** The path from the project's root, such as `src/oci/reference.ts`. */
  path: string
  text: string
  body: Node[]
  comments: Comment[]
  /** The modules that it imports or re-exports, in source order, including types and `import()`. */
  imports: string[]
  /** Calls the visitor's functions for the file's nodes. */
  visit(visitor: VisitorObject): void
  /** Returns the line of an offset, starting at 1. */
  lineAt(offset: number): number
}

/**
 * Parses a file.
 * @throws Error if it is not valid TypeScript.
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
