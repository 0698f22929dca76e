/** How a command ends: the process's exit codes. `cay help` and the README list the same. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  absent: 3,
  denied: 4,
  unreachable: 5,
  interrupted: 130,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** What each code says, for people. */
export const EXIT_CODES: Readonly<Record<ExitCode, string>> = {
  0: 'done',
  1: 'refused, or failed: the message says why',
  2: 'a mistake in the command line or a setting, or a question that nobody could answer: see --yes',
  3: 'what was named is not there',
  4: 'not allowed: no token, a wrong one, or one that may not do this',
  5: 'the server does not answer, or its certificate is not trusted',
  130: 'ended with Ctrl-C',
}

/** What went wrong, in one line for people, and how the process ends. */
export class CommandError extends Error {
  override name = 'CommandError'
  readonly exit: ExitCode

  constructor(message: string, exit: ExitCode = EXIT.failed, options?: ErrorOptions) {
    super(message, options)
    this.exit = exit
  }
}
