import { homedir } from 'node:os'
import { join } from 'node:path'
import type { TObject, TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { type Config, ConfigSchema } from './config-schema.ts'

/** One setting: the same path as a key of cay.toml, a flag, and an environment variable. */
export interface Setting {
  /** Keys of the schema, from the outside in. */
  keys: string[]
  /** `uploads.idle-seconds-max` */
  path: string
  /** `--uploads-idle-seconds-max` */
  flag: string
  /** `CAY_UPLOADS_IDLE_SECONDS_MAX` */
  variable: string
  schema: TSchema
}

/** Something is wrong with a setting; the message names it as the person wrote it. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

export interface ConfigSources {
  /** Values by the setting's path. */
  flags: Record<string, string>
  /** The file that --config names. */
  file: string | undefined
  environment: Record<string, string | undefined>
}

export interface LoadedConfig {
  config: Config
  /** What does not stop the start, but is likely a mistake. */
  warnings: string[]
}

/** Every setting, from the schema. */
export const SETTINGS: readonly Setting[] = settingsOf(ConfigSchema, [])

/** Variables that preset the first account's password; no settings, for they must not be shown. */
const ADMIN_VARIABLES = ['CAY_ADMIN_PASSWORD', 'CAY_ADMIN_PASSWORD_FILE'] as const

/** Variables of commands that ask a server elsewhere; no settings of one. */
const CLIENT_VARIABLES = ['CAY_SERVER', 'CAY_TOKEN', 'CAY_TOKEN_FILE'] as const

/** The variable that names the configuration's file. */
const FILE_VARIABLE = 'CAY_CONFIG'

/**
 * Reads the configuration: flags over environment over file over defaults. The file is the one that is named, or
 * `cay.toml` in the data folder when there is one.
 *
 * @throws ConfigError
 */
export async function loadConfig({ flags, file, environment }: ConfigSources): Promise<LoadedConfig> {
  const data = flags.data ?? environment.CAY_DATA ?? defaultDataFolder(environment)
  const named = file ?? environment[FILE_VARIABLE]
  const values: Record<string, unknown> = {}
  const sources = new Map<string, string>()
  const set = (setting: Setting, value: unknown, source: string) => {
    const given = typeof value === 'string' ? fromText(setting.schema, value) : value
    put(values, setting.keys, isTables(setting.schema) ? tablesOf(given) : given)
    sources.set(setting.path, source)
  }
  put(values, ['data'], data)
  await readFile(named ?? join(data, 'cay.toml'), named !== undefined, set)
  for (const setting of SETTINGS) {
    const variable = environment[setting.variable]
    if (variable !== undefined) set(setting, variable, setting.variable)
    const flag = flags[setting.path]
    if (flag !== undefined) set(setting, flag, setting.flag)
  }
  return { config: check(values, sources), warnings: unknownVariables(environment) }
}

/** A setting's value as it may be shown: of tables only their names, for they may hold secrets. */
export function shownValue({ keys, schema }: Setting, config: Config): unknown {
  const value = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config)
  return isTables(schema) ? (value as { name: string }[]).map(({ name }) => name) : value
}

/** Whether the setting is an array of tables. */
function isTables({ type, items }: TSchema): boolean {
  return type === 'array' && items.type === 'object'
}

/** Entries that are texts are the names of tables that say nothing else; keys are written with hyphens. */
function tablesOf(given: unknown): unknown {
  if (!Array.isArray(given)) return given
  return given.map((entry) => {
    if (typeof entry === 'string') return { name: entry }
    if (typeof entry !== 'object' || entry === null) return entry
    return Object.fromEntries(Object.entries(entry).map(([key, value]) => [camel(key), value]))
  })
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

function settingsOf(schema: TObject, above: string[]): Setting[] {
  return Object.entries(schema.properties).flatMap(([key, property]) => {
    const keys = [...above, key]
    if (property.type === 'object') return settingsOf(property as TObject, keys)
    const words = keys.map(kebab)
    return {
      keys,
      path: words.join('.'),
      flag: `--${words.join('-')}`,
      variable: `CAY_${words.join('_').replaceAll('-', '_').toUpperCase()}`,
      schema: property,
    }
  })
}

async function readFile(
  path: string,
  isRequired: boolean,
  set: (setting: Setting, value: unknown, source: string) => void,
): Promise<void> {
  const file = Bun.file(path)
  if (!(await file.exists())) {
    if (isRequired) throw new ConfigError(`there is no configuration file ${path}`)
    return
  }
  let document: unknown
  try {
    document = Bun.TOML.parse(await file.text())
  } catch (error) {
    throw new ConfigError(`${path} is not TOML: ${(error as Error).message}`)
  }
  for (const [name, value] of leaves(document as Record<string, unknown>, '')) {
    const setting = SETTINGS.find((candidate) => candidate.path === name)
    if (setting === undefined)
      throw new ConfigError(`${path}: there is no setting "${name}"${suggestion(name)}`)
    set(setting, value, path)
  }
}

/** The values of a table and of those in it; an empty table that is no section of ours counts as a value. */
function leaves(table: Record<string, unknown>, prefix: string): [string, unknown][] {
  return Object.entries(table).flatMap(([key, value]): [string, unknown][] => {
    const name = `${prefix}${key}`
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, value]]
    const isOurs = SETTINGS.some(({ path }) => path.startsWith(`${name}.`))
    if (!isOurs && Object.keys(value).length === 0) return [[name, value]]
    return leaves(value as Record<string, unknown>, `${name}.`)
  })
}

function check(values: Record<string, unknown>, sources: Map<string, string>): Config {
  const config = Value.Default(ConfigSchema, fillObjects(values))
  const [error] = Value.Errors(ConfigSchema, config)
  if (error === undefined) return config as Config
  const path = error.path
    .slice(1)
    .split('/')
    .map(kebab)
    .join('.')
    .replace(/\.\d+$/, '')
  const setting = SETTINGS.find((candidate) => candidate.path === path)
  const source = sources.get(setting?.path ?? path.replace(/\.\d+\..*$/, ''))
  throw new ConfigError(
    `${path}${source === undefined ? '' : ` (from ${source})`} is ${shown(path, error.value)}: ` +
      (setting === undefined ? error.message : `expected ${expectation(setting.schema)}`),
  )
}

/** A wrong value, unless it may be a secret. */
function shown(path: string, value: unknown): string {
  return path.endsWith('password') ? 'not what it must be' : JSON.stringify(value)
}

/** What a setting takes, for people. */
export function expectation(schema: TSchema): string {
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((one: { const: string }) => one.const).join(' | ')
  if (schema.type === 'boolean') return 'true | false'
  if (schema.type === 'integer') return `a whole number from ${schema.minimum} to ${schema.maximum}`
  if (schema.type === 'array') return 'a list, with commas between'
  if (schema.pattern) return `a text like ${schema.pattern}`
  return 'a text'
}

/** The sections that nobody has written, so that their defaults find a place. */
function fillObjects(values: Record<string, unknown>): Record<string, unknown> {
  for (const { keys } of SETTINGS) {
    let section = values
    for (const key of keys.slice(0, -1)) {
      section[key] ??= {}
      section = section[key] as Record<string, unknown>
    }
  }
  return values
}

function put(values: Record<string, unknown>, [key = '', ...rest]: string[], value: unknown): void {
  if (rest.length === 0) {
    values[key] = value
    return
  }
  values[key] ??= {}
  put(values[key] as Record<string, unknown>, rest, value)
}

function fromText(schema: TSchema, text: string): unknown {
  if (schema.type === 'array') return text.split(',').map((part) => part.trim())
  if (schema.type === 'integer') return /^\d+$/.test(text) ? Number(text) : text
  if (schema.type === 'boolean') return text === 'true' || (text === 'false' ? false : text)
  return text
}

/** Kubernetes makes CAY_PORT and CAY_SERVICE_HOST beside a Service called cay: a warning, never an error. */
function unknownVariables(environment: Record<string, string | undefined>): string[] {
  const ours = [FILE_VARIABLE, ...ADMIN_VARIABLES, ...CLIENT_VARIABLES]
  const known = new Set([...ours, ...SETTINGS.map(({ variable }) => variable)])
  return Object.keys(environment)
    .filter((name) => name.startsWith('CAY_') && !known.has(name))
    .map((name) => `the environment variable ${name} is not a setting of cay`)
}

function suggestion(name: string): string {
  const last = name.split('.').at(-1)
  const near = SETTINGS.find(({ path }) => path.split('.').at(-1) === last)
  return near === undefined ? '' : `; did you mean "${near.path}"?`
}

function defaultDataFolder(environment: Record<string, string | undefined>): string {
  if (process.getuid?.() === 0) return '/var/lib/cay'
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'cay')
  if (process.platform === 'win32') return join(environment.LOCALAPPDATA ?? homedir(), 'cay')
  return join(environment.XDG_DATA_HOME ?? join(homedir(), '.local', 'share'), 'cay')
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
