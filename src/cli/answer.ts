import { type AdminClient, type PageOptions, pagesOf } from './client.ts'
import {
  escapeControls,
  type Field,
  formatText,
  jsonText,
  render,
  sanitize,
  type Terminal,
} from './output.ts'

/** The result of a verb. With --json the API's own JSON is printed, otherwise a table, a card or a line. */
export type Result = Listing | Card | Line | Content

/** A list of the API, which is fetched and printed page by page. */
export interface Listing {
  list: string
  columns: readonly Field[]
  /** Printed instead of an empty table. */
  none: string
  limit?: number | undefined
  /** Returns a line to print below the table. */
  sum?: () => Promise<string>
}

/** One resource: a line for each field that is set, then tables of what it contains. */
export interface Card {
  value: unknown
  lines: readonly Field[]
  tables?: readonly { title: string; items: readonly unknown[]; columns: readonly Field[] }[]
}

/** The report of a change. The value is undefined if the API returns none. */
export interface Line {
  value: unknown
  line: string
}

/** Content of any size and kind, which is printed as it is. */
interface Content {
  bytes: Response
}

export interface PrintOptions extends PageOptions {
  asJson: boolean
}

/** Prints the result of a verb. */
export async function printAnswer(
  answer: Result,
  client: AdminClient,
  terminal: Terminal,
  options: PrintOptions,
): Promise<void> {
  if ('bytes' in answer) return printContent(answer.bytes, terminal)
  if ('list' in answer) {
    const print = options.asJson ? listAsJson : listAsTable
    return print(answer, client, terminal, { ...options, limit: options.limit ?? answer.limit })
  }
  if (options.asJson) return terminal.write(answer.value === undefined ? '' : `${jsonText(answer.value)}\n`)
  if ('line' in answer) return terminal.write(`${sanitize(answer.line)}\n`)
  return printCard(answer, terminal)
}

/** Writes content as it arrives. A terminal gets it as text without control characters, which could control it. */
async function printContent({ body }: Response, terminal: Terminal): Promise<void> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  for await (const chunk of body ?? []) {
    await terminal.write(
      terminal.isForPeople ? escapeControls(decoder.decode(chunk, { stream: true })) : chunk,
    )
  }
}

/** Prints one page in the form of the API, with the entries of all fetched pages and `nextCursor` of the last one. */
async function listAsJson({ list }: Listing, client: AdminClient, terminal: Terminal, options: PageOptions) {
  let separator = '\n'
  let nextCursor: string | undefined
  await terminal.write('{\n  "items": [')
  for await (const page of pagesOf(client, list, options)) {
    const items = page.items.map((item) => jsonText(item).replaceAll('\n', '\n    '))
    if (items.length > 0) await terminal.write(`${separator}    ${items.join(',\n    ')}`)
    if (items.length > 0) separator = ',\n'
    nextCursor = page.nextCursor
  }
  const end = nextCursor === undefined ? '' : `,\n  "nextCursor": ${jsonText(nextCursor)}`
  await terminal.write(`${separator === '\n' ? '' : '\n  '}]${end}\n}\n`)
}

async function listAsTable(listing: Listing, client: AdminClient, terminal: Terminal, options: PageOptions) {
  const { list, columns, none, sum } = listing
  const { TableWriter } = await import('./table.ts')
  const table = new TableWriter(columns, terminal)
  let count = 0
  for await (const { items } of pagesOf(client, list, options)) {
    await table.write(items)
    count += items.length
  }
  if (count === 0) terminal.note(none)
  else if (sum !== undefined) await terminal.write(`\n${await sum()}\n`)
}

async function printCard({ value, lines, tables = [] }: Card, terminal: Terminal): Promise<void> {
  const rows = lines.map((line) => [line.label, render(line, value, terminal)] as const)
  const known = rows.filter(([, text]) => text !== '')
  const width = Math.max(0, ...known.map(([label]) => label.length))
  await terminal.write(known.map(([label, text]) => `${`${label}:`.padEnd(width + 2)} ${text}\n`).join(''))
  for (const { title, items, columns } of tables) {
    if (items.length === 0) continue
    const { TableWriter } = await import('./table.ts')
    await terminal.write(`\n${formatText(title)}\n`)
    await new TableWriter(columns, terminal).write(items)
  }
}
