/** The exit codes. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  absent: 3,
  denied: 4,
  unreachable: 5,
  damaged: 6,
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** What each exit code means. docs/commands.md lists the same. */
export const EXIT_CODES: Readonly<Record<ExitCode, string>> = {
  0: 'success',
  1: 'failed or refused; the message says why',
  2: 'invalid command line or setting, or a confirmation without a terminal: see --yes',
  3: 'not found',
  4: 'not allowed: no token, an invalid token, or missing permissions',
  5: 'the server does not answer, or its certificate is not trusted',
  6: 'cay fsck found damage that it cannot repair',
  130: 'interrupted with Ctrl-C',
}

/** What went wrong, in one line for people, with the exit code. */
export class CommandError extends Error {
  override name = 'CommandError'
  readonly exit: ExitCode

  constructor(message: string, exit: ExitCode = EXIT.failed, options?: ErrorOptions) {
    super(message, options)
    this.exit = exit
  }
}

/** Returns the error of an invalid command line. */
export function usageError(message: string, options?: ErrorOptions): CommandError {
  return new CommandError(message, EXIT.usage, options)
}

/** Returns what a request resolves to, or undefined if it fails with this exit code. */
export async function unless<T>(exit: ExitCode, request: Promise<T>): Promise<T | undefined> {
  try {
    return await request
  } catch (error) {
    if (error instanceof CommandError && error.exit === exit) return undefined
    throw error
  }
}

/** Returns why a connection failed, in words: Bun's own messages name a browser's causes. */
export function reasonOf(error: NodeJS.ErrnoException): string {
  return error.code === 'ECONNREFUSED' ? 'connection refused' : error.message
}
