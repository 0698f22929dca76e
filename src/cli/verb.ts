import type { Result } from './output/answer.ts'
import type { Terminal } from './output/terminal.ts'
import type { AdminClient } from './remote/admin-client.ts'

/** One command: an operation of the admin API. */
export interface Verb {
  /** The arguments, such as `<repository> [tag]`. Their names decide how they are completed: see `names.ts`. */
  usage?: string
  /** The arguments as help shows them, if several words can be written as one: `REPOSITORY:TAG`. */
  shown?: string
  summary: string
  options?: readonly Option[]
  /** The command prints a list, which --limit can shorten. */
  isList?: boolean
  /** The command asks for confirmation, unless --yes is given. */
  isDestructive?: boolean
  run(call: Call): Result | Promise<Result>
}

/** `choices` are the only values that the option accepts. */
export type Option = readonly [flags: string, description: string, choices?: readonly string[]]

export interface Noun {
  summary: string
  verbs: Readonly<Record<string, Verb>>
  /** The verb to run if none is given. */
  byDefault?: string
}

/** What a verb was called with. */
export interface Call {
  client: AdminClient
  args: readonly string[]
  /** Values by name, as text; of a flag 'true'. */
  options: Readonly<Record<string, string>>
  terminal: Terminal
  /** Asks for confirmation: `what` completes "This ...". Throws a CommandError unless the user confirms. */
  confirm(what: string): Promise<void>
}
