import { useState } from 'preact/hooks'
import { visible } from '../../values/format.ts'

/** How many members of an array or object are shown. */
const MEMBERS_MAX = 500

interface JsonTreeProps {
  of: unknown
  name?: string
  /** How many levels are open at first. */
  openLevels: number
}

/** Shows JSON with parts that fold. Only what is open is in the document. */
export function JsonTree({ of, name, openLevels }: JsonTreeProps) {
  const [isOpen, setOpen] = useState(openLevels > 0)
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
    <details class="json" open={isOpen} onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        {label}
        <span class="muted">
          {brackets[0]} {entries.length} {brackets[1]}
        </span>
      </summary>
      {isOpen &&
        entries
          .slice(0, MEMBERS_MAX)
          .map(([key, value]) => <JsonTree key={key} of={value} name={key} openLevels={openLevels - 1} />)}
      {isOpen && entries.length > MEMBERS_MAX && <p class="muted">{entries.length - MEMBERS_MAX} more</p>}
    </details>
  )
}
