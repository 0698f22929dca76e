import type { TObject, TSchema } from '@sinclair/typebox'
import { ConfigSchema } from './schema.ts'
import { parseBytes, parseDuration } from './values.ts'

/** One setting, with its names as a key of cay.toml, a flag and an environment variable. */
export interface Setting {
  /** The keys of the schema, outermost first. */
  keys: string[]
  /** `uploads.idle-seconds-max` */
  path: string
  /** `--uploads-idle-seconds-max` */
  flag: string
  /** `CAY_UPLOADS_IDLE_SECONDS_MAX` */
  variable: string
  /** The heading of its section in help. */
  group: string
  schema: TSchema
}

/** Headings that are not just the name of the section. */
const HEADINGS: Readonly<Record<string, string>> = {
  docker: 'Old Docker clients',
  gc: 'Garbage collection',
  http: 'HTTP',
}

/** All settings of the schema. */
export const SETTINGS: readonly Setting[] = settingsOf(ConfigSchema, [])

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
      group: above[0] === undefined ? 'Server' : headingOf(above[0]),
      schema: property,
    }
  })
}

/** Reports whether the setting is an array of tables. */
export function isTables({ type, items }: TSchema): boolean {
  return type === 'array' && items.type === 'object'
}

/** Reports whether a flag and a variable can set it. Of tables, only if nothing but a name is required. */
export function isText({ schema }: Setting): boolean {
  if (!isTables(schema)) return true
  const { required = [], properties } = schema.items as TObject
  return required.filter((key) => properties[key]?.default === undefined).join() === 'name'
}

function headingOf(section: string): string {
  return HEADINGS[section] ?? `${section.charAt(0).toUpperCase()}${section.slice(1)}`
}

/** `pageMax` -> `page-max` */
export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** What a number counts, with the units in which it can be written instead, largest first. */
interface Unit {
  /** The name of the setting's placeholder in help. */
  placeholder: string
  parse: (text: string) => number | undefined
  units: readonly [suffix: string, size: number][]
}

const DURATIONS: Unit['units'] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
]

/** A duration that is counted in the given number of milliseconds. */
function duration(size: number): Unit {
  return {
    placeholder: 'duration',
    parse(text) {
      const milliseconds = parseDuration(text)
      return milliseconds === undefined ? undefined : milliseconds / size
    },
    units: DURATIONS.filter(([, each]) => each >= size).map(([suffix, each]) => [suffix, each / size]),
  }
}

const SIZES: Unit = {
  placeholder: 'size',
  parse: parseBytes,
  units: [
    ['TiB', 2 ** 40],
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ],
}

const UNITS: readonly [name: RegExp, unit: Unit][] = [
  [/milliseconds/i, duration(1)],
  [/seconds/i, duration(1000)],
  [/days/i, duration(86_400_000)],
  [/bytes/i, SIZES],
]

function unitOf(key: string): Unit | undefined {
  return UNITS.find(([name]) => name.test(key))?.[1]
}

/** Converts the text of a number to the unit of its key: `14d` to 1209600 for `windowSeconds`. Returns other text as it is. */
export function numberOf(key: string, text: string): unknown {
  if (/^\d+$/.test(text)) return Number(text)
  return unitOf(key)?.parse(text) ?? text
}

/** Writes a number in the largest unit of its key in which it is whole: `14d`, `4MiB`. */
function textOf(key: string, value: number): string {
  const unit = unitOf(key)?.units.find(([, size]) => value > 0 && value % size === 0)
  return unit === undefined ? String(value) : `${value / unit[1]}${unit[0]}`
}

/** Returns the default of a setting as it can be written: `14d`, `4MiB`, `info`. Empty if there is none. */
export function defaultText({ keys, schema }: Setting): string {
  const value: unknown = schema.default
  if (typeof value === 'number') return textOf(keys.at(-1) ?? '', value)
  return value === undefined ? '' : String(value)
}

/** Returns the placeholder of a setting's value in help. */
export function placeholder({ keys, schema }: Setting): string {
  const key = keys.at(-1) ?? ''
  if (schema.type === 'array') return 'list'
  if (schema.type === 'integer') return unitOf(key)?.placeholder ?? 'number'
  return { data: 'folder', metadata: 'folder', externalUrl: 'url' }[key] ?? 'value'
}

/** Describes the values that a setting accepts. `key` is its last key. */
export function expectation(schema: TSchema, key: string): string {
  if (Array.isArray(schema.anyOf)) return schema.anyOf.map((one: { const: string }) => one.const).join(' | ')
  if (schema.type === 'boolean') return 'true | false'
  if (schema.type === 'integer') {
    const unit = unitOf(key)
    const kind = unit === undefined ? 'whole number' : unit.placeholder
    return `a ${kind} from ${textOf(key, schema.minimum)} to ${textOf(key, schema.maximum)}`
  }
  if (schema.type === 'array') return 'a comma-separated list'
  if (schema.examples) return `a value such as ${schema.examples[0]}`
  return 'text'
}
