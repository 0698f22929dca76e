import type { Command } from 'commander'
import { expectation, type LoadedConfig, loadConfig, SETTINGS } from '../config/config.ts'

/** Adds the options that set the configuration. */
export function withSettings(command: Command): Command {
  command.option('--config <file>', 'the configuration file [cay.toml in the data folder]')
  for (const { flag, schema, variable } of SETTINGS) {
    const value = String(schema.default ?? '')
    const byDefault = value === '' ? '' : `, default ${value}`
    command.option(
      `${flag} <value>`,
      `${schema.description} (${expectation(schema)}${byDefault}; ${variable})`,
    )
  }
  return command
}

/** Loads the configuration, with the options that a command was given. */
export function load(options: Record<string, string>): Promise<LoadedConfig> {
  const flags: Record<string, string> = {}
  for (const { path, flag } of SETTINGS) {
    const value = options[flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())]
    if (value !== undefined) flags[path] = value
  }
  return loadConfig({ flags, file: options.config, environment: process.env })
}
