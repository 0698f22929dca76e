import { signal } from '@preact/signals'

const KEY = 'cay-theme'

export type Theme = 'system' | 'light' | 'dark'

/** The theme that the viewer chose. */
export const theme = signal<Theme>(readTheme())

/** Applies the chosen theme to the document. */
export function applyTheme(): void {
  if (theme.value === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = theme.value
}

/** Chooses a theme, and remembers it in this browser. */
export function setTheme(chosen: Theme): void {
  theme.value = chosen
  localStorage.setItem(KEY, chosen)
  applyTheme()
}

function readTheme(): Theme {
  const stored = localStorage.getItem(KEY)
  return stored === 'light' || stored === 'dark' ? stored : 'system'
}
