import { createInterface, type Interface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { parseDuration } from '../config/values.ts'
import { type AdminClient, withQuery } from './client.ts'
import { CommandError, EXIT, usageError } from './failure.ts'
import { sanitize, type Terminal } from './output.ts'

/** A tag or a digest of a repository, as the command line names it. */
export interface Named {
  repository: string
  reference: string
}

const DIGEST = /^sha(?:256|512):[0-9a-f]+$/

/** A shortened digest without its algorithm, as `docker images` prints ids. */
const HEX = /^[0-9a-f]{4,64}$/

/** The number of hex characters of a whole digest. */
const WHOLE = /^sha256:.{64}$|^sha512:.{128}$/

/**
 * Parses references as they are printed: `app:1.0` or `app@sha256:...`, or a repository followed by its tags or digests.
 * Throws a CommandError unless there are 1 to `max` of them.
 */
export function parseReferences(words: readonly string[], { max = 1 } = {}): [Named, ...Named[]] {
  const [first = '', ...others] = words
  const named = /[:@]/.test(first)
    ? words.map(parseReference)
    : others.map((reference) => ({ repository: first, reference }))
  const [one, ...more] = named
  if (one !== undefined && named.length <= max) return [one, ...more]
  const wanted = max === 1 ? 'REPOSITORY:TAG or REPOSITORY@DIGEST' : 'REPOSITORY:TAG...'
  throw usageError(`invalid reference "${words.join(' ')}": expected ${wanted}`)
}

/** Parses `app:1.0`, `app@sha256:...` or `app@0123ab...`. Of `app:1.0@sha256:...` the digest counts. */
export function parseReference(word: string): Named {
  const [, repository, tag, digest] = /^([^:@]+)(?::([^:@]+))?(?:@(.+))?$/.exec(word) ?? []
  const reference = digest === undefined ? tag : HEX.test(digest) ? `sha256:${digest}` : digest
  if (repository !== undefined && reference !== undefined) return { repository, reference }
  throw usageError(`invalid reference "${word}": expected REPOSITORY:TAG or REPOSITORY@DIGEST`)
}

/** Reports whether the text is a digest, whole or shortened as in the output of commands. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text)
}

/** `app:1.0`, `app@sha256:...` */
export function formatReference({ repository, reference }: Named): string {
  return `${repository}${isDigest(reference) ? '@' : ':'}${reference}`
}

/**
 * Returns the whole digest that begins with the given text, and every other text as it is. Asks the server only for a
 * shortened digest.
 *
 * @param repository where to look; undefined for everywhere
 * @throws CommandError if no digest, or more than one, begins with it
 */
export async function wholeDigest(client: AdminClient, text: string, repository?: string): Promise<string> {
  if (!isDigest(text) || WHOLE.test(text)) return text
  const path = withQuery('/digests', { prefix: text, repository })
  const { items } = await client.request<{ items: string[] }>('GET', path)
  const [first, ...others] = items
  const where = repository === undefined ? '' : ` in ${repository}`
  if (first === undefined) throw new CommandError(`no digest${where} begins with ${text}`, EXIT.absent)
  if (others.length === 0) return first
  throw usageError(`several digests${where} begin with ${text}: ${items.join(', ')}`)
}

/** Does the same for the digest of a reference. */
export async function resolve(client: AdminClient, { repository, reference }: Named): Promise<Named> {
  return { repository, reference: await wholeDigest(client, reference, repository) }
}

/** RFC 3339, section 5.6: `date-time`, which always has an offset. */
const DATE_TIME = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

/** The words around a duration that give its direction. */
const WORDS = { past: /^(.+?) +ago$/, future: /^in +(.+)$/ } as const

/** Parses a time like `parseTimeArgument`, and returns it in the form of the API: RFC 3339. */
export function timeArgument(...read: Parameters<typeof parseTimeArgument>): string {
  return new Date(parseTimeArgument(...read)).toISOString()
}

/**
 * Parses a time: RFC 3339, or the distance from now (`2h`, `1d 12h`, `2h ago`, `in 3 days`). Returns milliseconds since
 * 1970.
 *
 * @param direction whether a duration without `ago` or `in` is in the past or in the future
 * @throws CommandError that says what is expected
 */
export function parseTimeArgument(text: string, now: number, direction: 'past' | 'future'): number {
  const trimmed = text.trim()
  const duration = parseDuration(WORDS[direction].exec(trimmed)?.[1] ?? trimmed)
  const at =
    duration === undefined ? parseDateTime(trimmed) : now + (direction === 'past' ? -duration : duration)
  // Only years of four digits.
  if (at !== undefined && at >= 0 && at < Date.UTC(10_000, 0)) return at
  const example = direction === 'past' ? '2h, or 3 days ago' : '12h, or in 3 days'
  throw usageError(
    `invalid time "${text}": expected RFC 3339, such as 2026-11-24T18:00:00Z, or a duration, such as ${example}`,
  )
}

function parseDateTime(text: string): number | undefined {
  const [, date, time] = DATE_TIME.exec(text) ?? []
  if (date === undefined) return undefined
  const at = Date.parse(text.replace(' ', 'T').toUpperCase())
  // Date.parse accepts the 30th of February as the 2nd of March.
  const isReal = new Date(`${date}T${time}Z`).toJSON()?.startsWith(`${date}T${time}`)
  return Number.isNaN(at) || !isReal ? undefined : at
}

const DAY_MS = 86_400_000

/** Parses a number of days: `90`, `90d` or `12w`. Throws a CommandError that names the option. */
export function parseDays(text: string, option: string): number {
  const days = /^\d{1,9}$/.test(text) ? Number(text) : (parseDuration(text) ?? Number.NaN) / DAY_MS
  if (Number.isSafeInteger(days)) return days
  throw usageError(`${option} is "${text}": expected whole days, such as 90, 90d or 12w`)
}

/** Says what a command will destroy. Throws a CommandError unless the user confirms, or has given --yes. */
export async function confirm(what: string, hasSaidYes: boolean, { canAsk, note }: Terminal): Promise<void> {
  if (hasSaidYes) return
  if (!canAsk) throw usageError(`this ${what}; pass --yes to confirm`)
  note(sanitize(`This ${what}.`))
  if (!(await answersYes('Continue? [y/N] '))) throw new CommandError('canceled: nothing was changed')
}

async function answersYes(question: string): Promise<boolean> {
  const answer = await withLines(process.stderr, (lines) => {
    // The end of the input counts as no.
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
    return Promise.race([lines.question(question), ended])
  })
  return /^y(es)?$/i.test(answer.trim())
}

/** Asks for passwords on a terminal without showing them; otherwise reads them from the lines of standard input. */
export async function readPasswords(...questions: string[]): Promise<string[]> {
  if (!process.stdin.isTTY) {
    const lines = (await Bun.stdin.text()).split(/\r?\n/)
    return questions.map((_, at) => lines[at] ?? '')
  }
  const answers: string[] = []
  for (const question of questions) answers.push(await ask(question))
  return answers
}

/** Reads a new password, which is asked for twice on a terminal. Throws a CommandError if the two differ. */
export async function readNewPassword(question: string): Promise<string> {
  return (await readChange(question, undefined)).password
}

/** Reads a new password in the same way, after the current one if there is a question for that. */
export async function readChange(
  question: string,
  current: string | undefined,
): Promise<{ password: string; currentPassword: string | undefined }> {
  const isAsked = process.stdin.isTTY
  const questions = [question, ...(isAsked ? [`${question} again`] : [])]
  const [currentPassword, ...answers] =
    current === undefined
      ? [undefined, ...(await readPasswords(...questions))]
      : await readPasswords(current, ...questions)
  const [password = ''] = answers
  if (isAsked && answers.at(-1) !== password) throw usageError('the passwords differ: nothing was changed')
  return { password, currentPassword }
}

/** Asks for a line on a terminal. */
export async function readLine(question: string): Promise<string> {
  return (await withLines(process.stderr, (lines) => lines.question(`${question}: `))).trim()
}

async function ask(question: string): Promise<string> {
  process.stderr.write(`${question}: `)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  try {
    return await withLines(silent, (lines) => lines.question(''), { terminal: true })
  } finally {
    process.stderr.write('\n')
  }
}

async function withLines(
  output: NodeJS.WritableStream,
  read: (lines: Interface) => Promise<string>,
  options: { terminal?: boolean } = {},
): Promise<string> {
  const lines = createInterface({ input: process.stdin, output, ...options })
  try {
    return await read(lines)
  } finally {
    lines.close()
  }
}
