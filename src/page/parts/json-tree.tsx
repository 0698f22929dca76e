import { visible } from '../format.ts'

/** How many members of an array or object are shown. */
const MEMBERS_MAX = 500

/** How deep a tree is open at first. */
const OPEN_DEPTH = 3

/** Shows JSON with parts that fold. */
export function JsonTree({ of, name, depth = 0 }: { of: unknown; name?: string; depth?: number }) {
  const label = name === undefined ? null : <span class="json-name">{visible(name)}: </span>
  if (typeof of !== 'object' || of === null) {
    return (
      <div class="json-value">
        {label}
        <span class={`json-${typeof of}`}>{visible(JSON.stringify(of))}</span>
      </div>
    )
  }
  const entries = Object.entries(of)
  const brackets = Array.isArray(of) ? '[]' : '{}'
  if (entries.length === 0) {
    return (
      <div class="json-value">
        {label}
        {brackets}
      </div>
    )
  }
  return (
    <details class="json" open={depth < OPEN_DEPTH}>
      <summary>
        {label}
        <span class="muted">
          {brackets[0]} {entries.length} {brackets[1]}
        </span>
      </summary>
      {entries.slice(0, MEMBERS_MAX).map(([key, value]) => (
        <JsonTree key={key} of={value} name={key} depth={depth + 1} />
      ))}
      {entries.length > MEMBERS_MAX && <p class="muted">{entries.length - MEMBERS_MAX} more</p>}
    </details>
  )
}
