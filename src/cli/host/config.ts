import { formatSetting } from '../../config/config.ts'
import { SETTINGS } from '../../config/settings.ts'
import { load } from '../settings.ts'
import { askRunning } from './running.ts'

/** Options that choose a data folder or a file, and set nothing else. */
const PLACE = ['config', 'data', 'metadata']

/**
 * Prints every setting with its effective value, in the form of cay.toml: of the server that runs on the data folder, or,
 * without one or with options that set something, those that `cay serve` would have. Refuses what `cay serve` refuses.
 */
export async function printConfig(options: Record<string, string>): Promise<void> {
  const { config, warnings } = await load(options)
  const { checkConfig } = await import('../../app.ts')
  checkConfig(config)
  for (const warning of warnings) process.stderr.write(`cay: ${warning}\n`)
  const sets = Object.keys(options).some((name) => !PLACE.includes(name))
  const running = sets ? undefined : await askRunning(config.data)
  const values = new Map(running?.settings.map(({ name, value }) => [name, value]))
  if (running !== undefined)
    process.stdout.write(`# The settings of the server that listens on ${running.addresses.join(', ')}\n`)
  let section = ''
  // In TOML, settings outside of a section must come before the first section.
  const settings = SETTINGS.toSorted((a, b) => Number(a.path.includes('.')) - Number(b.path.includes('.')))
  for (const setting of settings) {
    const { path } = setting
    const value = running === undefined ? formatSetting(setting, config) : values.get(path)
    if (value === undefined) continue
    const dot = path.lastIndexOf('.')
    const own = path.slice(0, Math.max(0, dot))
    if (own !== section) process.stdout.write(`\n[${own}]\n`)
    section = own
    process.stdout.write(`${path.slice(dot + 1)} = ${JSON.stringify(value)}\n`)
  }
}
