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

/**
 * Makes text of others safe for a terminal: replaces characters that could move the cursor, change colours, or reverse
 * the direction of the rest of the line (UAX 9).
 */
export function sanitize(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]+/gu, ' ')
}
