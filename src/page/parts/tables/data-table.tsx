import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Pages } from '../../server/resource.ts'
import { Failure, Loading } from '../states.tsx'
import { focusNeighbour } from './row-focus.ts'
import { useRowWindow } from './row-window.ts'

export interface Column<T> {
  title: string
  cell: (item: T) => ComponentChildren
  /** `wide` columns are hidden on narrow screens, `number` columns are aligned right. */
  class?: string
}

export interface Selection {
  keys: ReadonlySet<string>
  set: (keys: ReadonlySet<string>) => void
}

interface DataTableProps<T> {
  /** What the table lists, for screen readers. */
  label: string
  /** The first column identifies the row. */
  columns: Column<T>[]
  pages: Pages<T>
  keyOf: (item: T) => string
  /** The items that are selected. Without it, none can be. */
  selection?: Selection | undefined
  /** Shown instead of a table without rows. */
  empty: ComponentChildren
}

/** A list of any length: only the rows on the screen are in the document, and further pages are read on scrolling. */
export function DataTable<T>({ label, columns, pages, keyOf, selection, empty }: DataTableProps<T>) {
  const body = useRef<HTMLTableSectionElement>(null)
  const { items, hasMore, more, error } = pages
  const { first, end, rowPixels } = useRowWindow(body, items.length)
  const isNearEnd = end >= items.length - 20
  useEffect(() => {
    if (isNearEnd && hasMore && !error) more()
  }, [isNearEnd, hasMore, more, error])
  if (pages.isLoading) return <Loading />
  if (error && items.length === 0) return <Failure error={error} retry={more} />
  if (items.length === 0 && !hasMore) return <>{empty}</>
  const shown = items.slice(first, end)
  return (
    <>
      <table class="data-table" aria-label={label} aria-rowcount={hasMore ? -1 : items.length + 1}>
        <thead>
          <tr>
            {selection && (
              <th class="check">
                <SelectAll keys={items.map(keyOf)} selection={selection} />
              </th>
            )}
            {columns.map((column, index) => (
              <th key={column.title} scope="col" class={classOf(column, index)}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody ref={body} onKeyDown={focusNeighbour}>
          {first > 0 && <Spacer pixels={first * rowPixels} />}
          {shown.map((item, index) => (
            <tr
              key={keyOf(item)}
              aria-rowindex={first + index + 2}
              class={selection?.keys.has(keyOf(item)) ? 'selected' : ''}
            >
              {selection && (
                <td class="check">
                  <SelectOne name={keyOf(item)} selection={selection} />
                </td>
              )}
              {columns.map((column, index) => (
                <td key={column.title} class={classOf(column, index)}>
                  {column.cell(item)}
                </td>
              ))}
            </tr>
          ))}
          {end < items.length && <Spacer pixels={(items.length - end) * rowPixels} />}
        </tbody>
      </table>
      {hasMore && !error && <p class="more muted">Loading more</p>}
      {error && <Failure error={error} retry={more} />}
    </>
  )
}

/** Returns the classes of a column. The first one takes the room that the others leave. */
function classOf<T>(column: Column<T>, index: number): string | undefined {
  return index === 0 ? `main ${column.class ?? ''}` : column.class
}

function SelectAll({ keys, selection }: { keys: string[]; selection: Selection }) {
  const { size } = selection.keys
  return (
    <input
      type="checkbox"
      aria-label="Select all that are loaded"
      checked={size > 0 && size === keys.length}
      indeterminate={size > 0 && size < keys.length}
      onChange={({ currentTarget }) => selection.set(new Set(currentTarget.checked ? keys : []))}
    />
  )
}

function SelectOne({ name, selection }: { name: string; selection: Selection }) {
  const toggle = () => {
    const keys = new Set(selection.keys)
    if (!keys.delete(name)) keys.add(name)
    selection.set(keys)
  }
  return (
    <input
      type="checkbox"
      aria-label={`Select ${name}`}
      checked={selection.keys.has(name)}
      onChange={toggle}
    />
  )
}

/** Takes the place of rows outside the screen. */
function Spacer({ pixels }: { pixels: number }) {
  return (
    <tr aria-hidden class="spacer">
      <td style={{ height: `${pixels}px` }} />
    </tr>
  )
}
