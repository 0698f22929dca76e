import type {
  ArrowFunctionExpression,
  JSXSpreadAttribute,
  Node,
  Function as OtherFunction,
  SpreadElement,
} from 'oxc-parser'
import { worker } from '../../scripts/lib/bundle.ts'
import type { SourceFile } from './source-file.ts'

const functionLinesMax = 70

/** A rule that every file must follow. */
export interface Rule {
  name: string
  /** Returns the violations of a file, one line each. */
  faults(file: SourceFile): string[]
  /** Files that break the rule, by path and text, which prove that it can fail. */
  bad: [path: string, text: string][]
}

export const shapeRules: Rule[] = [
  {
    name: `a function has at most ${functionLinesMax} lines`,
    bad: [
      ['src/a.ts', `const f = () => {${'\n'.repeat(functionLinesMax)}}`],
      ['src/a.ts', `class A { f() {${'\n'.repeat(functionLinesMax)}} }`],
    ],
    faults: longFunctions,
  },
  {
    name: 'no file only re-exports',
    bad: [
      ['src/a.ts', "export * from './b.ts'"],
      ['src/a.ts', "import { b } from './b.ts'\nexport { b }"],
    ],
    faults: ({ body }) => (body.length > 0 && body.every(isPassedOn) ? ['only re-exports'] : []),
  },
  {
    name: 'a module holds no state',
    bad: [
      ['src/a.ts', 'let count = 0'],
      ['src/a.ts', 'export let count = 0'],
      ['src/a.ts', 'const seen = new Map()'],
    ],
    faults: (file) =>
      file.path.startsWith('src/') ? file.body.flatMap((node) => moduleState(file, node)) : [],
  },
  {
    name: 'nothing inherits but errors',
    bad: [['src/a.ts', 'class Cat extends Animal {}']],
    faults: (file) => {
      const faults: string[] = []
      file.visit({
        ClassDeclaration(node) {
          const parent = node.superClass?.type === 'Identifier' ? node.superClass.name : ''
          if (node.superClass && !parent.endsWith('Error')) faults.push(at(file, node, 'extends a class'))
        },
      })
      return faults
    },
  },
  {
    name: 'a Worker is created in the form that the build recognizes',
    bad: [
      ['src/a.ts', "new Worker('./src/b.ts')"],
      ['src/a.ts', "new Worker(new URL('../storage/b.ts', import.meta.url))"],
    ],
    faults: (file) => (file.path.startsWith('src/') ? lostWorkers(file) : []),
  },
  {
    name: 'nothing spreads an object literal: that disables excess property checks',
    bad: [
      ['src/a.ts', 'const a = { ...{ b, c } }'],
      ['src/page/a.tsx', 'const a = <p {...{ b, c }} />'],
    ],
    faults: (file) => {
      const faults: string[] = []
      const check = (node: SpreadElement | JSXSpreadAttribute) => {
        if (node.argument.type === 'ObjectExpression') faults.push(at(file, node, 'spreads a literal'))
      }
      file.visit({ SpreadElement: check, JSXSpreadAttribute: check })
      return faults
    },
  },
  {
    name: 'a file is named by a noun in kebab-case',
    bad: [
      ['src/http/blobRoutes.ts', ''],
      ['src/http/utils.ts', ''],
    ],
    faults: ({ path }) => {
      const name = path.split('/').at(-1) ?? ''
      const kebab = /^[a-z0-9]+(-[a-z0-9]+)*(\.test|\.suite|\.d)?\.tsx?$/.test(name)
      return kebab && !/^(utils?|helpers?|types|interfaces|index)\./.test(name) ? [] : ['has another name']
    },
  },
]

export const leftoverRules: Rule[] = [
  {
    name: 'no TODO comments, and no disabled checks',
    bad: [
      ['src/a.ts', '// TODO: later'],
      ['src/a.ts', '/* biome-ignore lint: no */'],
      ['test/a.test.ts', '// @ts-expect-error'],
    ],
    faults: (file) =>
      file.comments
        .filter(({ value }) =>
          /\b(TODO|FIXME|XXX|HACK)\b|@ts-(ignore|expect-error|nocheck)|biome-ignore/.test(value),
        )
        .map((comment) => at(file, comment, comment.value.trim())),
  },
  {
    name: 'every test runs, except where the platform lacks something',
    bad: [
      ['test/a.test.ts', "test.todo('a')"],
      ['test/a.test.ts', "test.failing('a', () => {})"],
      ['test/a.test.ts', "describe.todoIf(process.platform === 'win32')('a', () => {})"],
      ['test/a.test.ts', "test.if(isFast)('a', () => {})"],
      ['test/a.test.ts', "test.skipIf(true)('a', () => {})"],
      ['test/a.test.ts', "describe.skipIf(process.env.SLOW === undefined)('a', () => {})"],
    ],
    faults: (file) => [
      // Biome refuses skip and only.
      ...calls(file, (object, method) => TEST_FUNCTIONS.includes(object) && UNRUN.includes(method)),
      ...groundlessSkips(file),
    ],
  },
  {
    name: 'a transaction is synchronous: an async one commits at its first await',
    bad: [
      ['src/metadata/a.ts', 'db.transaction(async (tx) => { await tx.run() })'],
      ['src/metadata/a.ts', 'db.transaction(async function () {})'],
    ],
    faults: (file) => {
      const faults: string[] = []
      file.visit({
        CallExpression(node) {
          const isTransaction =
            node.callee.type === 'MemberExpression' &&
            node.callee.property.type === 'Identifier' &&
            node.callee.property.name === 'transaction'
          const isAsync = node.arguments.some((argument) => 'async' in argument && argument.async)
          if (isTransaction && isAsync) faults.push(at(file, node, 'transaction(async'))
        },
      })
      return faults
    },
  },
]

const TEST_FUNCTIONS = ['test', 'it', 'describe']
const UNRUN = ['todo', 'todoIf', 'failing', 'if']

/** What a machine can lack: its operating system, a user's rights, a program or a system folder. */
const PLATFORM = /\bprocess\.(?:platform|getuid)\b|\bBun\.which\(|\bexistsSync\('\//

/** Returns each `skipIf` whose condition does not depend on the platform. */
function groundlessSkips(file: SourceFile): string[] {
  const faults: string[] = []
  file.visit({
    CallExpression(node) {
      const { callee } = node
      if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return
      if (callee.property.name !== 'skipIf') return
      const text = file.text.slice(node.start, node.end)
      if (!PLATFORM.test(text)) faults.push(at(file, node, text))
    },
  })
  return faults
}

/** Returns each `new Worker` that the build would miss, so that the executable could not start it. */
function lostWorkers(file: SourceFile): string[] {
  const faults: string[] = []
  file.visit({
    NewExpression(node) {
      if (node.callee.type !== 'Identifier' || node.callee.name !== 'Worker') return
      const text = file.text.slice(node.start, node.end)
      if (text.search(worker) !== 0) faults.push(at(file, node, text))
    },
  })
  return faults
}

/** Returns functions over the limit. A `describe`, and a function that only returns a table, do not count. */
function longFunctions(file: SourceFile): string[] {
  const faults: string[] = []
  const chapters = new Set<Node>()
  const measure = (node: OtherFunction | ArrowFunctionExpression) => {
    const lines = file.lineAt(node.end) - file.lineAt(node.start) + 1
    if (lines <= functionLinesMax || chapters.has(node) || isTable(node)) return
    faults.push(at(file, node, `${lines} lines`))
  }
  file.visit({
    CallExpression(node) {
      const isChapter = node.callee.type === 'Identifier' && node.callee.name === 'describe'
      if (isChapter) for (const argument of node.arguments) chapters.add(argument)
    },
    FunctionDeclaration: measure,
    FunctionExpression: measure,
    ArrowFunctionExpression: measure,
  })
  return faults
}

function isTable({ body }: OtherFunction | ArrowFunctionExpression): boolean {
  if (body?.type !== 'BlockStatement') return body?.type === 'ArrayExpression'
  const [only, ...more] = body.body
  return more.length === 0 && only?.type === 'ReturnStatement' && only.argument?.type === 'ArrayExpression'
}

/** Reports whether a statement is an import or a re-export. */
function isPassedOn(node: Node): boolean {
  if (node.type === 'ExportNamedDeclaration') return node.declaration === null
  return node.type === 'ExportAllDeclaration' || node.type === 'ImportDeclaration'
}

/** Returns top-level `let` and `var`, and collections that start empty and must be filled later. */
function moduleState(file: SourceFile, statement: Node): string[] {
  const node = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
  if (node?.type !== 'VariableDeclaration' || node.declare) return []
  if (node.kind !== 'const') return [at(file, node, node.kind)]
  const empty = node.declarations.filter(
    ({ init }) =>
      init?.type === 'NewExpression' &&
      init.callee.type === 'Identifier' &&
      ['Map', 'Set', 'WeakMap', 'WeakSet', 'LRUCache'].includes(init.callee.name) &&
      init.arguments[0]?.type !== 'ArrayExpression',
  )
  return empty.map((declaration) => at(file, declaration, 'a collection that is filled later'))
}

/** Returns the calls `object.method(...)` that match. */
function calls(file: SourceFile, isKind: (object: string, method: string) => boolean): string[] {
  const faults: string[] = []
  file.visit({
    MemberExpression({ object, property, ...node }) {
      if (object.type !== 'Identifier' || property.type !== 'Identifier') return
      if (isKind(object.name, property.name)) faults.push(at(file, node, `${object.name}.${property.name}`))
    },
  })
  return faults
}

function at(file: SourceFile, place: { start: number }, what: string): string {
  return `line ${file.lineAt(place.start)}: ${what}`
}
