import { homedir } from 'node:os'
import { join } from 'node:path'
import type { TObject } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import { closest, distance } from 'fastest-levenshtein'
import { type Config, ConfigSchema } from './schema.ts'
import { expectation, isTables, isText, kebab, numberOf, SETTINGS, type Setting } from './settings.ts'
import { parseMirrors, readUpstreams } from './upstreams.ts'
import {
  ConfigError,
  type ListenAddress,
  parseListenAddress,
  parseTlsChoice,
  refuseToListen,
  type TlsChoice,
} from './values.ts'

export interface ConfigSources {
  /** Values, by the path of the setting. */
  flags: Record<string, string>
  /** The file of --config. */
  file: string | undefined
  environment: Record<string, string | undefined>
}

export interface LoadedConfig {
  config: Config
  /** Likely mistakes that do not prevent the start. */
  warnings: string[]
  settingSources: SettingSources
}

/** Where settings are configured, by path: the path of a file, a flag or a variable. Others have their default. */
export type SettingSources = Readonly<Record<string, string>>

/** How the name of every variable begins. */
const PREFIX = 'CAY_'

/** The variable that names the configuration file. */
const FILE_VARIABLE = 'CAY_CONFIG'

/** The variable of cay's container image, which changes the defaults. */
const CONTAINER_VARIABLE = 'CAY_CONTAINER'

/** The defaults in a container: a published port is forwarded to its address, and clients connect without TLS. */
const CONTAINER_DEFAULTS = { listen: ['0.0.0.0:5000'], tls: 'off' }

/** Variables that are not settings: settings are shown, so passwords are not, nor are the options of commands. */
const OTHER_VARIABLES = [
  FILE_VARIABLE,
  CONTAINER_VARIABLE,
  'CAY_ADMIN_PASSWORD',
  'CAY_ADMIN_PASSWORD_FILE',
  'CAY_SERVER',
  'CAY_TOKEN',
  'CAY_TOKEN_FILE',
]

/**
 * Loads the configuration. Flags override environment variables, which override the file, which overrides defaults. The
 * file is the named one, or else `cay.toml` in the data folder if it exists.
 *
 * @throws ConfigError
 */
export async function loadConfig({ flags, file, environment }: ConfigSources): Promise<LoadedConfig> {
  const data = flags.data ?? environment.CAY_DATA ?? defaultDataFolder(environment)
  const named = file ?? environment[FILE_VARIABLE]
  const values: Record<string, unknown> = isContainer(environment) ? { ...CONTAINER_DEFAULTS } : {}
  const sources = new Map<string, string>()
  const set = (setting: Setting, value: unknown, source: string) => {
    const given = typeof value === 'string' ? fromText(setting, value, source) : value
    put(values, setting.keys, isTables(setting.schema) ? tablesOf(given, setting.schema.items) : given)
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
  return {
    config: check(values, sources),
    warnings: unknownVariables(environment),
    settingSources: Object.fromEntries(sources),
  }
}

/** Reports whether cay runs in a container of its own image. */
export function isContainer(environment: Record<string, string | undefined>): boolean {
  return environment[CONTAINER_VARIABLE] !== undefined
}

/** Returns the value of a setting to show: of tables only their names, because they can contain secrets. */
export function formatSetting({ keys, schema }: Setting, config: Config): unknown {
  const value = keys.reduce<unknown>((at, key) => (at as Record<string, unknown>)[key], config)
  if (!isTables(schema)) return value
  // The first key of each kind of table is its name.
  const [name = ''] = Object.keys(schema.items.properties)
  return (value as Record<string, string>[]).map((table) => table[name])
}

/** Turns names into tables with only a name, and hyphenated keys into those of the schema. */
function tablesOf(given: unknown, { properties }: TObject): unknown {
  if (!Array.isArray(given)) return given
  return given.map((entry) => {
    if (typeof entry === 'string') return { name: entry }
    if (typeof entry !== 'object' || entry === null) return entry
    return Object.fromEntries(
      Object.entries(entry).map(([key, value]) => {
        const isNumber = properties[camel(key)]?.type === 'integer'
        return [camel(key), isNumber && typeof value === 'string' ? numberOf(camel(key), value) : value]
      }),
    )
  })
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

async function readFile(
  path: string,
  isRequired: boolean,
  set: (setting: Setting, value: unknown, source: string) => void,
): Promise<void> {
  const file = Bun.file(path)
  if (!(await file.exists())) {
    if (isRequired) throw new ConfigError(`configuration file not found: ${path}`)
    return
  }
  let document: unknown
  try {
    document = Bun.TOML.parse(await file.text())
  } catch (error) {
    throw new ConfigError(`${path} is not valid TOML: ${(error as Error).message}`)
  }
  for (const [name, value] of leaves(document as Record<string, unknown>, '')) {
    const setting = SETTINGS.find((candidate) => candidate.path === name)
    if (setting === undefined) throw new ConfigError(`${path}: unknown setting "${name}"${suggestion(name)}`)
    set(setting, value, path)
  }
}

/** Returns the values of a table and its sections. An empty table that is not a known section counts as a value. */
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
  const keys = error.path.slice(1).split('/')
  const path = keys
    .map(kebab)
    .join('.')
    .replace(/\.\d+$/, '')
  const setting = SETTINGS.find((candidate) => candidate.path === path)
  const source = sources.get(setting?.path ?? path.replace(/\.\d+\..*$/, ''))
  const from = source === undefined ? '' : ` (from ${source})`
  const shown = path.endsWith('password') ? 'invalid' : JSON.stringify(error.value)
  const expected = setting && `expected ${expectation(setting.schema, setting.keys.at(-1) ?? '')}`
  throw new ConfigError(`${path}${from} is ${shown}: ${expected ?? error.message}`)
}

/** Adds the missing sections, so that defaults can be filled in. */
function fillObjects(values: Record<string, unknown>): Record<string, unknown> {
  for (const { keys } of SETTINGS) sectionOf(values, keys)
  return values
}

function put(values: Record<string, unknown>, keys: string[], value: unknown): void {
  sectionOf(values, keys)[keys.at(-1) ?? ''] = value
}

/** Returns the section that contains a setting, and creates it if it is missing. */
function sectionOf(values: Record<string, unknown>, keys: string[]): Record<string, unknown> {
  let section = values
  for (const key of keys.slice(0, -1)) {
    section[key] ??= {}
    section = section[key] as Record<string, unknown>
  }
  return section
}

function fromText(setting: Setting, text: string, source: string): unknown {
  const { keys, schema, path } = setting
  if (!isText(setting)) {
    throw new ConfigError(`${path} (from ${source}) cannot be set as a text: use [[${path}]] in cay.toml`)
  }
  if (schema.type === 'array') return text.split(',').map((part) => part.trim())
  if (schema.type === 'integer') return numberOf(keys.at(-1) ?? '', text)
  if (schema.type === 'boolean') return text === 'true' || (text === 'false' ? false : text)
  return text
}

/** Returns warnings, not errors: Kubernetes sets CAY_PORT and CAY_SERVICE_HOST for a Service called cay. */
function unknownVariables(environment: Record<string, string | undefined>): string[] {
  const known = [...OTHER_VARIABLES, ...SETTINGS.map(({ variable }) => variable)]
  const suffixes = known.map((name) => name.slice(PREFIX.length))
  return Object.keys(environment)
    .filter((name) => name.startsWith(PREFIX) && !known.includes(name))
    .map((name) => {
      const near = nearest(name.slice(PREFIX.length), suffixes)
      const hint = near === undefined ? '' : `; did you mean ${PREFIX}${near}?`
      return `the environment variable ${name} is not a setting of cay${hint}`
    })
}

function suggestion(name: string): string {
  const last = name.split('.').at(-1)
  const paths = SETTINGS.map(({ path }) => path)
  const near = paths.find((path) => path.split('.').at(-1) === last) ?? nearest(name, paths)
  return near === undefined ? '' : `; did you mean "${near}"?`
}

/** The share of its characters in which a name can differ from the one that is meant. */
const LIKENESS = 0.34

/** Returns the name that is most like the given one, unless none is like it. */
function nearest(name: string, names: readonly string[]): string | undefined {
  const near = closest(name, names)
  return distance(name, near) <= Math.max(1, name.length * LIKENESS) ? near : undefined
}

function defaultDataFolder(environment: Record<string, string | undefined>): string {
  if (process.getuid?.() === 0 || isContainer(environment)) return '/var/lib/cay'
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'cay')
  if (process.platform === 'win32') return join(environment.LOCALAPPDATA ?? homedir(), 'cay')
  return join(environment.XDG_DATA_HOME ?? join(homedir(), '.local', 'share'), 'cay')
}

/** Where a server listens, and with which certificate. */
export interface CheckedListening {
  listen: ListenAddress[]
  mirrors: { upstream: string; address: ListenAddress }[]
  tlsChoice: TlsChoice
}

/** Parses where a server listens, and checks its upstreams. Throws a ConfigError with the setting and its value. */
export function checkListening(config: Config): CheckedListening {
  const listen = config.listen.map(parseListenAddress)
  const mirrors = parseMirrors(config).map(({ upstream, listen: text }) => ({
    upstream,
    address: parseListenAddress(text),
  }))
  const tlsChoice = parseTlsChoice(config.tls)
  const refusal = refuseToListen([...listen, ...mirrors.map(({ address }) => address)], {
    access: config.access,
    hasTlsChoice: config.tls !== undefined,
  })
  if (refusal !== undefined) throw new ConfigError(refusal)
  readUpstreams(config)
  return { listen, mirrors, tlsChoice }
}
