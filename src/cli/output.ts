/** How a field of the API's JSON is shown: as a column of a table, or a line of a card. */
export interface Field {
  label: string
  /** The path in the JSON, such as `usage.pulls`; empty for the whole value. */
  field: string
  as: Format
}

/** Formats a value that is set. */
export type Format = (value: unknown, terminal: Terminal) => string

type Formats = Readonly<Record<string, Format>>

/** Returns a column or a line; `as` formats its value, or is the name of a format. */
export function field(label: string, field: string, as: Format | keyof typeof FORMATS = 'text'): Field {
  return { label, field, as: typeof as === 'string' ? FORMATS[as] : as }
}

/**
 * Returns the columns of a table, written as `LABEL: FIELD | FORMAT, ...`. By default, the label is made of the field's
 * name, and the format follows from its end: `createdAt` is a time, `pullCount` a count, `usage.bytes` bytes.
 *
 * @param own formats besides those that all share, by name
 */
export function columns(text: string, own: Formats = {}): Field[] {
  return parseFields(text, own, (name) => name, FORMATS.time)
}

/** Returns the lines of a card, written in the same way. Their default labels are capitalized, and times are also local. */
export function lines(text: string, own: Formats = {}): Field[] {
  const capitalized = (name: string) => `${name.charAt(0).toUpperCase()}${name.slice(1)}`
  return parseFields(text, own, capitalized, FORMATS['local time'])
}

function parseFields(text: string, own: Formats, labelOf: (name: string) => string, time: Format): Field[] {
  const formats: Formats = { ...FORMATS, ...own }
  return text.split(',').map((one) => {
    const [named = '', format] = one.split('|').map((part) => part.trim())
    const [label, field = label ?? ''] = named.split(':').map((part) => part.trim())
    const byDefault = /(^a|A)t$/.test(field) ? time : formats[defaultFormat(field)]
    const as = format === undefined ? byDefault : formats[format]
    if (as === undefined) throw new Error(`unknown format in "${one}"`)
    return { label: named.includes(':') ? (label ?? '') : labelOf(wordsOf(field)), field, as }
  })
}

function defaultFormat(field: string): keyof typeof FORMATS {
  if (field.endsWith('Count')) return 'count'
  return /bytes(Max)?$/i.test(field) ? 'bytes' : 'text'
}

/** `usage.lastPulledAt` -> `last pulled` */
function wordsOf(field: string): string {
  const name = field.slice(field.lastIndexOf('.') + 1)
  return name.replace(/At$/, '').replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

/** Formats the field; returns an empty text if it is not set. */
export function render({ field, as }: Field, answer: unknown, terminal: Terminal): string {
  const value = valueAt(answer, field)
  return value === undefined || value === null ? '' : as(value, terminal)
}

function valueAt(answer: unknown, field: string): unknown {
  if (field === '') return answer
  return field
    .split('.')
    .reduce<unknown>(
      (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
      answer,
    )
}

export function formatText(value: unknown): string {
  if (Array.isArray(value)) return value.map(formatText).join(', ')
  if (typeof value !== 'object' || value === null) return sanitize(String(value))
  return Object.entries(value)
    .map(([key, one]) => `${sanitize(key)}=${formatText(one)}`)
    .join(' ')
}

/** Returns JSON that also escapes the control characters that JSON allows. */
export function jsonText(value: unknown): string {
  return escapeControls(JSON.stringify(value, null, 2) ?? '')
}

/** Escapes control characters in JSON text, so that it cannot change the terminal. */
export function escapeControls(json: string): string {
  return json.replaceAll(/[\x7f-\x9f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`)
}

export function formatCount(value: unknown): string {
  return Number(value).toLocaleString('en')
}

/** Formats bytes in powers of 1024 (IEC 80000-13): `1.2 GiB`. */
export function formatBytes(value: unknown): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let left = Number(value)
  let unit = 0
  while (left >= 1023.95 && unit < units.length - 1) {
    left /= 1024
    unit += 1
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${units[unit]}`
}

/** Formats seconds in the largest units that give whole numbers: `14 days`, `1 day 12 hours`. */
function formatDuration(value: unknown): string {
  let left = Number(value)
  const parts: string[] = []
  for (const [size, unit] of STEPS.slice(2)) {
    const count = Math.floor(left / size)
    if (count > 0) parts.push(`${count} ${unit}${count === 1 ? '' : 's'}`)
    left -= count * size
  }
  return parts.join(' ') || '0 seconds'
}

/** Formats days: `kept for 3 days`; 0 is `kept`, without an end. */
export function formatKeptDays(value: unknown): string {
  if (value === 0) return 'kept'
  return `kept for ${formatCount(value)} ${value === 1 ? 'day' : 'days'}`
}

/** How many characters of a digest are shown on a terminal. */
const SHORT_DIGEST_CHARACTERS = 12

/** Formats tags. On a terminal, shortens digests in their names (`sha256-….sig`). */
export function formatTags(value: unknown, { isForPeople }: Terminal): string {
  const text = formatText(value)
  return isForPeople ? text.replaceAll(DIGEST_IN_TAG, '$1…') : text
}

const DIGEST_IN_TAG = new RegExp(`\\b([a-z0-9]+-[0-9a-f]{${SHORT_DIGEST_CHARACTERS}})[0-9a-f]{52}\\b`, 'g')

/** Formats a time: relative to now on a terminal, elsewhere as RFC 3339. */
export function formatTime(value: unknown, { isForPeople, now }: Terminal): string {
  const at = new Date(String(value))
  if (Number.isNaN(at.getTime())) return formatText(value)
  if (at.getTime() === UNKNOWN_TIME) return ''
  return isForPeople ? relative(at.getTime() - now()) : at.toISOString()
}

/** Formats a time: local and relative on a terminal, elsewhere as RFC 3339. */
export function formatRelativeTime(value: unknown, terminal: Terminal): string {
  const at = new Date(String(value))
  if (Number.isNaN(at.getTime())) return formatText(value)
  if (at.getTime() === UNKNOWN_TIME) return ''
  return terminal.isForPeople ? `${localTime(at)} (${formatTime(value, terminal)})` : at.toISOString()
}

/** The zero time of Go, which programs in Go write for an unknown time. */
const UNKNOWN_TIME = Date.parse('0001-01-01T00:00:00Z')

/** `2026-11-24 18:03:09 +01:00` */
function localTime(at: Date): string {
  const offset = -at.getTimezoneOffset()
  const local = new Date(at.getTime() + offset * 60_000).toISOString()
  const [hours, minutes] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60].map((n) =>
    String(n).padStart(2, '0'),
  )
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${offset < 0 ? '-' : '+'}${hours}:${minutes}`
}

const STEPS: readonly [seconds: number, unit: Intl.RelativeTimeFormatUnit][] = [
  [365 * 86_400, 'year'],
  [30 * 86_400, 'month'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
]

function relative(milliseconds: number): string {
  const seconds = milliseconds / 1000
  const step = STEPS.find(([size]) => Math.abs(seconds) >= size)
  if (step === undefined) return 'now'
  const [size, unit] = step
  // A time almost 14 days ahead is `in 14 days`.
  const count = seconds < 0 ? Math.trunc(seconds / size) : Math.round(seconds / size)
  return new Intl.RelativeTimeFormat('en').format(count, unit)
}

/** The formats that fields name. */
const FORMATS = {
  text: formatText,
  yes: (value) => (value === true ? 'yes' : ''),
  count: formatCount,
  bytes: formatBytes,
  duration: formatDuration,
  'kept days': formatKeptDays,
  'short digest': (value, { isForPeople }) => {
    const text = formatText(value)
    return isForPeople ? text.slice(0, text.indexOf(':') + 1 + SHORT_DIGEST_CHARACTERS) : text
  },
  tags: formatTags,
  time: formatTime,
  'local time': formatRelativeTime,
} satisfies Record<string, Format>

/** The output of a command: a terminal, a file or another program. */
export interface Terminal {
  /** Standard output is a terminal, so times are relative. */
  isForPeople: boolean
  /** Always false if NO_COLOR is set (no-color.org). */
  hasColours: boolean
  /** Standard error is a terminal, so progress is a bar; otherwise it is lines. */
  hasBar: boolean
  /** Somebody can answer a question. */
  canAsk: boolean
  /** Milliseconds since 1970. */
  now: () => number
  /** Writes to standard output. Resolves when more can be written without buffering it. */
  write(text: string | Uint8Array): Promise<void>
  /** Writes a line to standard error. */
  note(line: string): void
  /** Replaces the status line on standard error; an empty text removes it. Only if `hasBar`. */
  status(text: string): void
}

/** Returns the terminal of this process. */
export function openTerminal(environment: Record<string, string | undefined>): Terminal {
  const { stdin, stdout, stderr } = process
  const isForPeople = stdout.isTTY === true
  // `write` reports errors to its caller.
  stdout.on('error', () => {})
  return {
    isForPeople,
    hasColours: isForPeople && (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb',
    hasBar: stderr.isTTY === true && environment.TERM !== 'dumb',
    canAsk: stdin.isTTY === true && stderr.isTTY === true,
    now: Date.now,
    write: (text) =>
      new Promise((resolve, reject) => {
        stdout.write(text, (error) => (error ? reject(error) : resolve()))
      }),
    note: (line) => void stderr.write(`${line}\n`),
    status: (text) => void stderr.write(`\r\x1b[K${text}`),
  }
}

/** Replaces the characters that could control a terminal, or reverse the rest of the line (UAX 9). */
export function sanitize(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, ' ')
}

/** The shortest time between two lines of progress. */
const PROGRESS_MS_MIN = 1000

/** Shows progress: in the status line of a terminal, otherwise in lines, the first a second after `shownAt`. */
export function openProgress<Arguments extends unknown[]>(
  terminal: Terminal,
  lineOf: (...progress: Arguments) => string,
  shownAt = terminal.now(),
) {
  return {
    progress(...progress: Arguments): void {
      if (terminal.hasBar) terminal.status(lineOf(...progress))
      else if (terminal.now() - shownAt >= PROGRESS_MS_MIN) {
        shownAt = terminal.now()
        terminal.note(lineOf(...progress))
      }
    },
    end(): void {
      if (terminal.hasBar) terminal.status('')
    },
  }
}
