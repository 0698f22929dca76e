import type { Command } from 'commander'
import { type LoadedConfig, loadConfig } from '../config/config.ts'
import { defaultText, expectation, isText, placeholder, SETTINGS, type Setting } from '../config/settings.ts'

/** Adds the options that set the configuration. */
export function withSettings(command: Command): Command {
  command.option('--config <file>', 'the configuration file [cay.toml in the data folder] (CAY_CONFIG)')
  for (const setting of SETTINGS.filter(isText)) {
    const { flag, keys, schema, variable, group } = setting
    const value = defaultText(setting)
    const byDefault = value === '' ? '' : ` [${value}]`
    const option = command.createOption(
      `${flag} <${placeholder(setting)}>`,
      `${schema.description}${byDefault} (${expectation(schema, keys.at(-1) ?? '')}; ${variable})`,
    )
    command.addOption(option.helpGroup(`${group}:`))
  }
  return command.optionsGroup('Options:')
}

/** Loads the configuration, with the options that a command was given. */
export function load(options: Record<string, string>): Promise<LoadedConfig> {
  const flags = Object.fromEntries(given(options).map(([{ path }, value]) => [path, value]))
  return loadConfig({ flags, file: options.config, environment: process.env })
}

/** Returns the options that a command was given as arguments of `cay serve`. */
export function argumentsOf(options: Record<string, string>): string[] {
  const file = options.config === undefined ? [] : ['--config', options.config]
  return [...file, ...given(options).flatMap(([{ flag }, value]) => [flag, value])]
}

/** Returns the settings that a command was given, with their values. */
function given(options: Record<string, string>): [Setting, string][] {
  return SETTINGS.flatMap((setting): [Setting, string][] => {
    const name = setting.flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
    const value = options[name]
    return value === undefined ? [] : [[setting, value]]
  })
}
