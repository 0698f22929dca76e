import { isTyping } from '../../keys.ts'

/** Moves the focus to the row above or below with the arrow keys, and selects the row with `x`. */
export function focusNeighbour(event: KeyboardEvent): void {
  const row = (event.target as Element).closest('tr')
  // A dialog that a row has opened is inside it.
  if (row === null || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === 'x') {
    row.querySelector<HTMLElement>('input[type=checkbox]')?.click()
    return
  }
  const next = neighbourOf(row, event.key)
  const target = next?.querySelector<HTMLElement>('a, button')
  if (target) {
    event.preventDefault()
    target.focus()
  }
}

/** Returns the element before or after another one in its list, as an arrow key asks for. */
function neighbourOf(row: Element | null, key: string): Element | null | undefined {
  if (key === 'ArrowDown') return row?.nextElementSibling
  return key === 'ArrowUp' ? row?.previousElementSibling : undefined
}
