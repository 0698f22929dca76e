import type { Access, Action } from '../domain/access.ts'
import { matchesPattern, parseRepositoryPattern } from '../domain/repository-pattern.ts'
import type { AccountRow } from '../metadata/accounts/accounts.ts'
import type { CredentialRow } from '../metadata/accounts/credentials.ts'
import { formatSubject, type GrantRow, type Rule } from '../metadata/accounts/grants.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { type Identities, ROLE_ACTIONS } from './identities.ts'

/** One thing that gives an account something in a repository. */
export interface Reason {
  by: 'open' | 'server-admin' | 'own-namespace' | 'account' | 'group' | 'authenticated' | 'anonymous'
  /** Of a grant: as people write it. */
  subject?: string
  rule?: Rule
  actions: Action[]
}

/** One thing that narrows it: the owner of a robot, the scope of a token. */
export interface Limit {
  by: 'owner' | 'credential'
  /** The owner's name, or the token's id. */
  name: string
  actions: Action[]
}

export interface ExplainedAccess {
  /** What it may do: what some reason gives, and each limit leaves. Nothing while it is disabled. */
  actions: Action[]
  isDisabled: boolean
  reasons: Reason[]
  limits: Limit[]
}

const ACTIONS: readonly Action[] = ['pull', 'push', 'delete']

/**
 * What an account may do in a repository, and why. The actions are those that `access` allows; the rest says by what.
 *
 * @param row undefined is anonymous
 * @param credential one of its tokens, whose scope counts, too
 */
export function explainAccess(
  { metadata, identities, access }: { metadata: Metadata; identities: Identities; access: Access },
  repository: RepositoryName,
  row: AccountRow | undefined,
  credential: CredentialRow | undefined,
): ExplainedAccess {
  const identity = row === undefined ? identities.anonymous() : identities.find(row.id, credential)
  const may = (action: Action) => identity !== undefined && access.may(identity, action, repository)
  const owner = row?.ownerId == null ? undefined : metadata.accounts.findById(row.ownerId)
  const limits: Limit[] = []
  if (owner) {
    const actions = actionsOf(reasonsOf(metadata, repository, owner))
    limits.push({ by: 'owner', name: owner.name, actions })
  }
  if (credential?.scope) {
    const actions = (JSON.parse(credential.scope) as Rule[]).flatMap((rule) => actionsIn(rule, repository))
    limits.push({ by: 'credential', name: credential.id, actions: inOrder(actions) })
  }
  return {
    actions: ACTIONS.filter(may),
    isDisabled: identity === undefined,
    reasons: access.isOpen ? [{ by: 'open', actions: [...ACTIONS] }] : reasonsOf(metadata, repository, row),
    limits: access.isOpen ? [] : limits,
  }
}

function reasonsOf(metadata: Metadata, repository: RepositoryName, row: AccountRow | undefined): Reason[] {
  const reasons: Reason[] = []
  if (row?.isAdmin) reasons.push({ by: 'server-admin', actions: [...ACTIONS] })
  if (row?.kind === 'user' && repository.startsWith(`${row.name}/`)) {
    const rule: Rule = { pattern: `${row.name}/**`, role: 'admin' }
    reasons.push({ by: 'own-namespace', rule, actions: [...ACTIONS] })
  }
  const groups = row === undefined ? [] : metadata.accounts.groupsOf(row.id)
  for (const grant of metadata.grants.grantsOf(row?.id, groups)) {
    const actions = actionsIn(grant, repository)
    if (actions.length > 0) reasons.push({ ...toReason(grant), actions })
  }
  return reasons
}

function toReason({ subject, pattern, role }: GrantRow): Omit<Reason, 'actions'> {
  const by = typeof subject === 'string' ? subject : 'account' in subject ? 'account' : 'group'
  return { by, subject: formatSubject(subject), rule: { pattern, role } }
}

function actionsIn({ pattern, role }: Rule, repository: RepositoryName): Action[] {
  return matchesPattern(parseRepositoryPattern(pattern), repository) ? inOrder(ROLE_ACTIONS[role]) : []
}

function actionsOf(reasons: Reason[]): Action[] {
  return inOrder(reasons.flatMap(({ actions }) => actions))
}

function inOrder(actions: Iterable<Action>): Action[] {
  const known = new Set(actions)
  return ACTIONS.filter((action) => known.has(action))
}
