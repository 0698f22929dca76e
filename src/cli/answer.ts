/** What a verb answered, for people: a line an entry, with the values of its fields. */
export function renderAnswer(answer: unknown, asJson: boolean): string {
  if (asJson) return `${JSON.stringify(answer, null, 2)}\n`
  const items = (answer as { items?: unknown[] }).items ?? answer
  if (Array.isArray(items)) return items.map((item) => `${line(item)}\n`).join('')
  if ((answer as { done?: boolean }).done) return 'done\n'
  return Object.entries(answer as object)
    .map(([key, value]) => `${key}: ${line(value)}\n`)
    .join('')
}

function line(item: unknown): string {
  if (typeof item !== 'object' || item === null) return String(item)
  if (Array.isArray(item)) return item.map(line).join(', ')
  const shown = Object.entries(item).filter(([, value]) => value !== false && JSON.stringify(value) !== '{}')
  return shown.map(([key, value]) => (key === 'name' ? String(value) : `${key}=${line(value)}`)).join('  ')
}
