import { Monitor, Moon, Sun } from 'lucide-preact'
import { setTheme, theme } from '../../theme.ts'

const choices = [
  { value: 'light', name: 'Light', icon: Sun },
  { value: 'dark', name: 'Dark', icon: Moon },
  { value: 'system', name: 'Like the system', icon: Monitor },
] as const

/** Chooses between the light and the dark theme. */
export function ThemeChoice() {
  return (
    <fieldset class="choice" aria-label="Theme">
      {choices.map(({ value, name, icon: Icon }) => (
        <button
          key={value}
          type="button"
          class="icon-button small"
          aria-label={name}
          title={name}
          aria-pressed={theme.value === value}
          onClick={() => setTheme(value)}
        >
          <Icon aria-hidden />
        </button>
      ))}
    </fieldset>
  )
}
