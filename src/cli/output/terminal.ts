/** Where a command speaks: for people on a terminal, or into a file or another program. */
export interface Terminal {
  /** Standard output is a terminal: times are relative. */
  isForPeople: boolean
  /** Never with NO_COLOR (no-color.org). */
  hasColours: boolean
  /** Standard error is a terminal: progress is a bar there, elsewhere lines. */
  hasBar: boolean
  /** Somebody is there who can answer a question. */
  canAsk: boolean
  /** Milliseconds since 1970. */
  now: () => number
  /** Resolves when more can be written without being kept in memory. */
  write(text: string): Promise<void>
  /** A line beside the output. */
  note(line: string): void
  /** Beside the output, in the place of the status before; an empty one goes away. Only where there is a bar. */
  status(text: string): void
}

/** The terminal of this process. */
export function openTerminal(environment: Record<string, string | undefined>): Terminal {
  const { stdin, stdout, stderr } = process
  const isForPeople = stdout.isTTY === true
  // What cannot be written is told to who writes it.
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

/**
 * Text of others as it may be shown on a terminal: nothing in it moves the cursor, changes colours, or turns the
 * direction in which the rest of the line is read (UAX 9).
 */
export function harmless(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, ' ')
}
