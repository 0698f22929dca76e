import type { ComponentChildren } from 'preact'

/** Shows a few numbers with their names. */
export function Figures({ of }: { of: Record<string, ComponentChildren> }) {
  return (
    <ul class="figures">
      {Object.entries(of).map(([name, value]) => (
        <li key={name}>
          <small>{name}</small>
          <b>{value}</b>
        </li>
      ))}
    </ul>
  )
}
