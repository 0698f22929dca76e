import { Search } from 'lucide-preact'
import type { ComponentChildren } from 'preact'
import { useLocation } from 'preact-iso'

/** Returns a parameter of the page's URL, and a function that changes it. */
export function useParam(name: string): [value: string, set: (value: string) => void] {
  const { query, route, path } = useLocation()
  const set = (value: string) => {
    const search = new URLSearchParams(location.search)
    if (value === '') search.delete(name)
    else search.set(name, value)
    route(`${location.pathname || path}${search.size > 0 ? `?${search}` : ''}`, true)
  }
  return [query[name] ?? '', set]
}

interface FilterProps {
  label: string
  value: string
  set: (value: string) => void
}

/** A field that filters a list as you type. */
export function Filter({ label, value, set }: FilterProps) {
  return (
    <label class="filter">
      <Search aria-hidden />
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        value={value}
        onInput={({ currentTarget }) => set(currentTarget.value)}
      />
    </label>
  )
}

interface ChoiceProps extends FilterProps {
  options: Record<string, string>
}

/** Chooses one of several values, by their names. */
export function Choice({ label, value, set, options }: ChoiceProps) {
  return (
    <label class="select">
      <span class="hidden">{label}</span>
      <select value={value} onChange={({ currentTarget }) => set(currentTarget.value)}>
        {Object.entries(options).map(([key, name]) => (
          <option key={key} value={key}>
            {name}
          </option>
        ))}
      </select>
    </label>
  )
}

/** Controls above a list. */
export function Toolbar({ children }: { children: ComponentChildren }) {
  return <div class="toolbar">{children}</div>
}
