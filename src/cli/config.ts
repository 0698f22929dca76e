import { type LoadedConfig, shownValue } from '../config/config.ts'
import { SETTINGS } from '../config/settings.ts'

/** Prints every setting with its effective value, in the form of cay.toml. */
export function printConfig({ config, warnings }: LoadedConfig): void {
  for (const warning of warnings) process.stderr.write(`cay: ${warning}\n`)
  let section = ''
  // In TOML, settings outside of a section must come before the first section.
  const settings = SETTINGS.toSorted((a, b) => Number(a.path.includes('.')) - Number(b.path.includes('.')))
  for (const setting of settings) {
    const { path } = setting
    const value = shownValue(setting, config)
    if (value === undefined) continue
    const dot = path.lastIndexOf('.')
    const own = path.slice(0, Math.max(0, dot))
    if (own !== section) process.stdout.write(`\n[${own}]\n`)
    section = own
    process.stdout.write(`${path.slice(dot + 1)} = ${JSON.stringify(value)}\n`)
  }
}
