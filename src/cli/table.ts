import Table from 'cli-table3'
import { type Field, render, type Terminal } from './output.ts'

/** Rows that are laid out together; the library takes time by the square of their number. */
const CHUNK_ROWS = 50

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '   ',
}

/** Prints a table while its entries arrive. A column is as wide as its widest cell so far. */
export class TableWriter {
  readonly #columns: readonly Field[]
  readonly #terminal: Terminal
  readonly #widths: number[]
  #hasHead = false

  constructor(columns: readonly Field[], terminal: Terminal) {
    this.#columns = columns
    this.#terminal = terminal
    this.#widths = columns.map(({ label }) => Bun.stringWidth(label))
  }

  async write(items: readonly unknown[]): Promise<void> {
    for (let start = 0; start < items.length; start += CHUNK_ROWS) {
      await this.#writeChunk(items.slice(start, start + CHUNK_ROWS))
    }
  }

  async #writeChunk(items: unknown[]): Promise<void> {
    const rows = items.map((item) => this.#columns.map((column) => render(column, item, this.#terminal)))
    for (const row of rows) {
      for (const [index, cell] of row.entries()) {
        this.#widths[index] = Math.max(this.#widths[index] ?? 0, Bun.stringWidth(cell))
      }
    }
    const table = new Table({
      chars: NO_BORDERS,
      style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
      colWidths: this.#widths.map((width) => Math.max(1, width)),
    })
    if (!this.#hasHead) table.push(this.#columns.map(({ label }) => this.#head(label)))
    this.#hasHead = true
    table.push(...rows)
    const lines = table.toString().split('\n')
    await this.#terminal.write(lines.map((line) => `${line.trimEnd()}\n`).join(''))
  }

  #head(label: string): string {
    const text = label.toUpperCase()
    return this.#terminal.hasColours ? `\x1b[1m${text}\x1b[0m` : text
  }
}
