import { audit } from './nouns/audit.ts'
import { grants } from './nouns/grants.ts'
import { groups } from './nouns/groups.ts'
import { robots } from './nouns/robots.ts'
import { signingKeys } from './nouns/signing-keys.ts'
import { tokens } from './nouns/tokens.ts'
import { users } from './nouns/users.ts'
import type { Noun } from './verb.ts'

/** Each noun with its verbs: what help, completions and the README's table are made of. */
export const NOUNS: Readonly<Record<string, Noun>> = {
  user: users,
  robot: robots,
  token: tokens,
  group: groups,
  grant: grants,
  key: signingKeys,
  audit,
}
