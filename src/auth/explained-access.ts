import type { Access, Action } from '../domain/access/access.ts'
import type { Rule } from '../domain/access/rule.ts'
import type { AccountRow } from '../metadata/accounts/accounts.ts'
import type { CredentialRow } from '../metadata/accounts/credentials.ts'
import { subjectsOf } from '../metadata/accounts/grants.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Identities } from './identities.ts'
import { ROLE_ACTIONS, Rules } from './rules.ts'

/** One reason why an account has access to a repository. */
export interface Reason {
  by: 'open' | 'server-admin' | 'own-namespace' | 'account' | 'group' | 'authenticated' | 'anonymous'
  /** For a grant: its subject as people write it. */
  subject?: string
  rule?: Rule
  actions: Action[]
}

/** One limit on the access: a robot's owner or a token's scope. */
export interface Limit {
  by: 'owner' | 'credential'
  /** The owner's name, or the token's id. */
  name: string
  actions: Action[]
}

export interface ExplainedAccess {
  /** The actions that some reason allows and no limit excludes. Empty while the account is disabled. */
  actions: Action[]
  isDisabled: boolean
  reasons: Reason[]
  limits: Limit[]
}

const ACTIONS: readonly Action[] = ['pull', 'push', 'delete']

/**
 * Returns what an account may do in a repository, and why. The actions are exactly those that `access` allows.
 *
 * @param row undefined is anonymous
 * @param credential one of its tokens, whose scope also applies
 */
export function explainAccess(
  { metadata, identities, access }: { metadata: Metadata; identities: Identities; access: Access },
  repository: RepositoryName,
  row: AccountRow | undefined,
  credential: CredentialRow | undefined,
): ExplainedAccess {
  const identity = row === undefined ? identities.anonymous() : identities.find(row.id, credential)
  const may = (action: Action) => identity !== undefined && access.may(identity, action, repository)
  const reasonsOf = (account: AccountRow | undefined) =>
    ownReasons(repository, account).concat(grantReasons(metadata, identities, repository, account))
  const owner = row?.ownerId == null ? undefined : metadata.accounts.findById(row.ownerId)
  const limits: Limit[] = []
  if (owner) {
    const actions = reasonsOf(owner).flatMap((reason) => reason.actions)
    limits.push({ by: 'owner', name: owner.name, actions: inOrder(actions) })
  }
  if (credential?.scope) {
    const rules = (JSON.parse(credential.scope) as Rule[]).flatMap((rule) =>
      new Rules([rule]).matching(repository),
    )
    limits.push({ by: 'credential', name: credential.id, actions: actionsOf(rules) })
  }
  return {
    actions: ACTIONS.filter(may),
    isDisabled: identity === undefined,
    reasons: access.isOpen ? [{ by: 'open', actions: [...ACTIONS] }] : reasonsOf(row),
    limits: access.isOpen ? [] : limits,
  }
}

/** Returns the reasons that follow from the account itself, such as being an admin. */
function ownReasons(repository: RepositoryName, row: AccountRow | undefined): Reason[] {
  const reasons: Reason[] = []
  if (row?.isAdmin) reasons.push({ by: 'server-admin', actions: [...ACTIONS] })
  if (row?.kind === 'user' && repository.startsWith(`${row.name}/`)) {
    const rule: Rule = { pattern: `${row.name}/**`, role: 'admin' }
    reasons.push({ by: 'own-namespace', rule, actions: [...ACTIONS] })
  }
  return reasons
}

/** Returns what is granted to an account, its groups, and everyone. */
function grantReasons(
  metadata: Metadata,
  identities: Identities,
  repository: RepositoryName,
  row: AccountRow | undefined,
): Reason[] {
  const groups = row === undefined ? [] : metadata.accounts.groupsOf(row.id)
  // The most specific subject comes first.
  const subjects = subjectsOf(row?.id, groups).toReversed()
  return subjects.flatMap((subject) => {
    const [by, name] = nameOf(metadata, subject, row)
    const rules = identities.granted.of(subject).matching(repository)
    return rules.map((rule): Reason => ({ by, subject: name, rule, actions: actionsOf([rule]) }))
  })
}

/** Returns the kind of a subject and its name as people write it. */
function nameOf(metadata: Metadata, subject: string, row: AccountRow | undefined): [Reason['by'], string] {
  if (subject === 'anonymous' || subject === 'authenticated') return [subject, subject]
  const [kind, id] = subject.split(':')
  if (kind === 'account') return ['account', row?.name ?? '']
  return ['group', `group:${metadata.accounts.groupName(Number(id)) ?? ''}`]
}

function actionsOf(rules: readonly Rule[]): Action[] {
  return inOrder(rules.flatMap(({ role }) => [...ROLE_ACTIONS[role]]))
}

function inOrder(actions: Iterable<Action>): Action[] {
  const known = new Set(actions)
  return ACTIONS.filter((action) => known.has(action))
}
