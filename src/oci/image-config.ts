import { StringDecoder } from 'node:string_decoder'

/** The platform that an image is for (image-spec, "Image Index": `platform`). */
export interface Platform {
  os: string
  architecture: string
  variant: string | undefined
  osVersion: string | undefined
}

/** A step that created a layer or changed only the config (image-spec, "Image Configuration": `history`). */
export interface HistoryEntry {
  createdAt: string | undefined
  /** The command, without the prefix that the classic builder adds. */
  createdBy: string | undefined
  author: string | undefined
  comment: string | undefined
  /** Whether the step has no layer. */
  isEmpty: boolean
}

/** The parts of an image's config that people are shown. */
export interface ImageConfig {
  platform: Platform | undefined
  createdAt: string | undefined
  author: string | undefined
  labels: Record<string, string>
  entrypoint: string[]
  command: string[]
  environment: string[]
  user: string | undefined
  workingDirectory: string | undefined
  ports: string[]
  volumes: string[]
  history: HistoryEntry[]
}

/** Reads the config of an image, or the V1 image of Docker schema 1. Malformed parts are left out. */
export function readImageConfig(document: Json): ImageConfig {
  const config = objectOf(document.config)
  return {
    platform: platformOf(document),
    createdAt: timeOf(document.created),
    author: stringOf(document.author),
    labels: textsOf(config.Labels),
    entrypoint: stringsOf(config.Entrypoint),
    command: stringsOf(config.Cmd),
    environment: stringsOf(config.Env),
    user: stringOf(config.User),
    workingDirectory: stringOf(config.WorkingDir),
    ports: Object.keys(objectOf(config.ExposedPorts)),
    volumes: Object.keys(objectOf(config.Volumes)),
    history: objectsOf(document.history).map(historyEntry),
  }
}

/** Returns the platform in an index's entry or a config. Undefined for `unknown`, which attestations have. */
export function platformOf(document: Json): Platform | undefined {
  const os = stringOf(document.os)
  const architecture = stringOf(document.architecture)
  if (os === undefined || architecture === undefined || os === 'unknown') return undefined
  const [variant, osVersion] = [stringOf(document.variant), stringOf(document['os.version'])]
  return { os, architecture, variant, osVersion }
}

/** Reads an entry of a Docker schema 1 history: a V1 image with its command in its config. */
export function readV1History(image: Json): HistoryEntry {
  const createdBy = stringsOf(objectOf(image.container_config).Cmd).join(' ')
  return {
    ...historyEntry({ ...image, created_by: createdBy }),
    isEmpty: image.throwaway === true,
  }
}

function historyEntry(entry: Json): HistoryEntry {
  return {
    createdAt: timeOf(entry.created),
    createdBy: stringOf(commandOf(stringOf(entry.created_by) ?? '')),
    author: stringOf(entry.author),
    comment: stringOf(entry.comment),
    isEmpty: entry.empty_layer === true,
  }
}

/** Turns `/bin/sh -c #(nop)  CMD ["sh"]` into `CMD ["sh"]`, and `/bin/sh -c make` into `RUN make`. */
function commandOf(text: string): string {
  const nop = /^\/bin\/sh -c #\(nop\)\s*/.exec(text)
  if (nop) return text.slice(nop[0].length).trim()
  const shell = /^\/bin\/sh -c\s+/.exec(text)
  return shell ? `RUN ${text.slice(shell[0].length).trim()}` : text.trim()
}

/** Labels of an image's config or annotations of a manifest, by name. */
export type Labels = Readonly<Record<string, string>>

/** The label that sets how long after its push a tag expires. */
const EXPIRES_AFTER = 'quay.expires-after'

const SECONDS: Record<string, number> = {
  s: 1,
  m: 60,
  h: 3600,
  d: 86_400,
  w: 7 * 86_400,
  y: 365 * 86_400,
}

/** A tag with a longer lifetime never expires. */
const EXPIRES_AFTER_SECONDS_MAX = 100 * 365 * 86_400

/** Returns the seconds after which a tag expires, from a label such as `2w`; undefined without a valid one. */
export function expiresAfterSeconds(labels: Labels): number | undefined {
  const [, count = '', unit = ''] = /^(\d{1,12})([smhdwy])$/.exec(labels[EXPIRES_AFTER] ?? '') ?? []
  const seconds = Number(count) * (SECONDS[unit] ?? 0)
  return seconds > 0 && seconds <= EXPIRES_AFTER_SECONDS_MAX ? seconds : undefined
}

/** Returns the labels in an image's config (image-spec, "Image Configuration"), or none when it is malformed. */
export function labelsOfConfig(bytes: Uint8Array): Labels {
  // Most configs have no labels and need not be parsed.
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes('"Labels"')) return {}
  return textsOf(objectOf(parseLeniently(bytes).config).Labels)
}

/** Returns the labels that all have with the same value. */
export function commonLabels(all: readonly Labels[]): Labels {
  const [first = {}, ...others] = all
  const shared = Object.entries(first).filter(([name, value]) =>
    others.every((labels) => Object.hasOwn(labels, name) && labels[name] === value),
  )
  return Object.fromEntries(shared)
}

/**
 * Limits of the labels of one manifest that a search finds: how many, the bytes of each as `NAME=VALUE`, and the bytes
 * of all. Together with their index they take at most 4 KiB per manifest.
 */
export const SEARCHABLE_LABELS_MAX = 32
export const SEARCHABLE_LABEL_BYTES_MAX = 200
const SEARCHABLE_BYTES_MAX = 2048

/**
 * Returns the labels that a search finds, as `NAME=VALUE`. Each is cut at its first control character and at its limit.
 * Labels without a name, and those beyond the limits of a manifest, are left out.
 */
export function searchableLabels(labels: Labels): string[] {
  const found = new Set<string>()
  let bytes = 0
  for (const name in labels) {
    if (name === '') continue
    const label = cutLabel(`${name}=${labels[name]}`)
    bytes += Buffer.byteLength(label)
    if (found.size === SEARCHABLE_LABELS_MAX || bytes > SEARCHABLE_BYTES_MAX) break
    if (label !== '') found.add(label)
  }
  return [...found]
}

/** Cuts a text as the labels that a search finds are cut. */
export function cutLabel(text: string): string {
  // The slice bounds the work for a long text: a character has at least one byte.
  const [line = ''] = text.slice(0, SEARCHABLE_LABEL_BYTES_MAX).split(/\p{Cc}/u, 1)
  // The decoder leaves out a character that is cut in two.
  return new StringDecoder().write(Buffer.from(line).subarray(0, SEARCHABLE_LABEL_BYTES_MAX))
}

/** Returns the annotations that a push uses: the first ones, which a search finds, and the one that expires tags. */
export function usedAnnotations(all: Labels): Record<string, string> {
  const used = Object.fromEntries(Object.entries(all).slice(0, SEARCHABLE_LABELS_MAX))
  const expiry = all[EXPIRES_AFTER]
  return expiry === undefined ? used : { ...used, [EXPIRES_AFTER]: expiry }
}

/**
 * The deepest JSON that is accepted where it must be serialized again. JSON.stringify blocks for a second on the
 * deepest JSON that can be parsed, and fails on slightly deeper JSON. Real documents are nowhere near this.
 */
export const JSON_LEVELS_MAX = 100

/** Reports whether UTF-8 JSON nests deeper than JSON_LEVELS_MAX. Reads each byte once and allocates nothing. */
export function isNestedDeep(json: Uint8Array): boolean {
  let [levels, inString] = [0, false]
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]
    if (byte === QUOTE) inString = !inString
    else if (inString) index += byte === BACKSLASH ? 1 : 0
    else if (byte === BRACE || byte === BRACKET) levels++
    else if (byte === BRACE + 2 || byte === BRACKET + 2) levels--
    if (levels > JSON_LEVELS_MAX) return true
  }
  return false
}

/** Reports whether UTF-8 JSON has more than `max` object members and array entries. Allocates nothing. */
export function hasMoreItems(json: Uint8Array, max: number): boolean {
  // Each member or entry has its own comma or bracket.
  if (json.length < 2 * max) return false
  let [items, inString] = [0, false]
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]
    if (byte === QUOTE) inString = !inString
    else if (inString) index += byte === BACKSLASH ? 1 : 0
    else if (byte === COMMA || byte === BRACE || byte === BRACKET) items++
    if (items > max) return true
  }
  return false
}

const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c
/** The code of each closing bracket is two higher. */
const BRACKET = 0x5b
const BRACE = 0x7b

/* Readers of JSON that is shown to people. Values of an unexpected type count as absent. */

export type Json = Readonly<Record<string, unknown>>

/** Parses a JSON object. Returns an empty one when the text is not an object. */
export function parseLeniently(bytes: Uint8Array | string): Json {
  try {
    return objectOf(
      JSON.parse(typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
    )
  } catch {
    return {}
  }
}

/** Reports whether a value is a JSON object. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objectOf(value: unknown): Json {
  return isObject(value) ? value : {}
}

export function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : []
}

export function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : []
}

/** Returns the string members of an object. */
export function textsOf(value: unknown): Record<string, string> {
  const texts = Object.entries(objectOf(value)).filter(
    (one): one is [string, string] => typeof one[1] === 'string',
  )
  return Object.fromEntries(texts)
}

/** Returns a number of bytes. */
export function bytesOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0
}

/** Returns a time in RFC 3339 form, in UTC with milliseconds, or undefined when it is invalid or out of range. */
export function timeOf(value: unknown): string | undefined {
  const time = typeof value === 'string' ? new Date(value) : new Date(Number.NaN)
  const year = time.getUTCFullYear()
  return year >= 1 && year <= 9999 ? time.toISOString() : undefined
}

/** Reports whether Go can parse this RFC 3339 time. Go clients refuse the whole manifest otherwise. */
export function isTime(value: unknown): value is string {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/
  return typeof value === 'string' && form.test(value) && !Number.isNaN(Date.parse(value))
}
