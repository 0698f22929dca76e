import type { AdminClient } from './admin-client.ts'
import type { Answer } from './output/answer.ts'
import type { Terminal } from './output/terminal.ts'

/** One command: an act of the admin API. */
export interface Verb {
  /** Its arguments, as `<repository> [tag]`. What one is called says which names complete it: see `names.ts`. */
  usage?: string
  summary: string
  options?: readonly Option[]
  /** It answers a list, which can be cut. */
  isList?: boolean
  /** It destroys something: it asks before, unless --yes is given. */
  isDestructive?: boolean
  run(call: Call): Answer | Promise<Answer>
}

/** `choices` are all that the option takes. */
export type Option = readonly [flags: string, description: string, choices?: readonly string[]]

export interface Noun {
  summary: string
  verbs: Readonly<Record<string, Verb>>
  /** The verb that is meant without one. */
  byDefault?: string
}

/** What a verb was given, and by what it acts. */
export interface Call {
  client: AdminClient
  args: readonly string[]
  /** By name, as text; a flag is 'true'. */
  options: Readonly<Record<string, string>>
  terminal: Terminal
  /** Says what the verb is about to destroy, and comes back when that is wanted. Throws a CommandError when it is not. */
  confirm(what: string): Promise<void>
}
