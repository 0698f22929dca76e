import type { Case, Scale, Target } from './case.ts'
import type { Row } from './measurement.ts'

const columns = ['', 'measured', 'ratio', 'p50', 'p99', 'CPU', 'RSS', '']

/** Formats the table of one case: a line for each contestant, and then cay's targets. */
export function renderCase(measured: Case, scale: Scale, rows: Row[]): string {
  const reference = rows.find(({ name }) => name === measured.reference)
  const cells = rows.map((row) => [
    row.name,
    `${number(row.value)} ${row.unit ?? measured.unit}`,
    reference && row.unit === undefined ? `${(row.value / reference.value).toFixed(2)}x` : '',
    row.p50 === undefined ? '' : `${number(row.p50)} ms`,
    row.p99 === undefined ? '' : `${number(row.p99)} ms`,
    row.cpuSeconds === undefined ? '' : `${row.cpuSeconds.toFixed(2)} s`,
    row.rssBytes === undefined ? '' : `${Math.round(row.rssBytes / 1024 ** 2)} MiB`,
    row.note ?? '',
  ])
  const header = columns.with(2, `of ${measured.reference}`)
  const targets = measured.targets.map((target) => `  ${renderTarget(measured, rows, target)}`)
  return [`${measured.name}: ${measured.title(scale)}`, ...table([header, ...cells]), ...targets].join('\n')
}

/** Returns a line for each target of a case: whether it is met. */
export function renderTargets(measured: Case, rows: Row[]): string[] {
  return measured.targets.map((target) => `${measured.name}: ${renderTarget(measured, rows, target)}`)
}

function renderTarget({ unit, reference }: Case, rows: Row[], { row, is, limit, relative }: Target): string {
  const find = (name: string) => rows.find((each) => each.name === name)?.value ?? Number.NaN
  const own = rows.find(({ name }) => name === row)?.unit ?? unit
  const value = find(row) / (relative ? find(reference) : 1)
  const met = is === 'at least' ? value >= limit : value <= limit
  const say = (n: number) => (relative ? `${n.toFixed(2)}x ${reference}` : `${number(n)} ${own}`)
  return `${met ? 'met' : 'MISSED'}: ${row} ${say(value)}, target ${is} ${say(limit)}`
}

/** Three digits are enough. */
function number(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)
}

/** Lines whose columns stand below each other: names to the left, figures to the right. */
function table(lines: string[][]): string[] {
  const widths = columns.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)))
  const padded = (cell: string, column: number) =>
    column === 0 || column === columns.length - 1
      ? cell.padEnd(widths[column]!)
      : cell.padStart(widths[column]!)
  return lines.map((cells) => `  ${cells.map(padded).join('  ').trimEnd()}`)
}
