/** Moves the focus to the row above or below with the arrow keys, and selects the row with `x`. */
export function focusNeighbour(event: KeyboardEvent): void {
  const row = (event.target as Element).closest('tr')
  if (row === null || event.ctrlKey || event.metaKey || event.altKey) return
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

function neighbourOf(row: Element, key: string): Element | null {
  if (key === 'ArrowDown') return row.nextElementSibling
  return key === 'ArrowUp' ? row.previousElementSibling : null
}
