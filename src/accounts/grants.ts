import type { Access, Action, Principal, Rule, Write } from '../access/access.ts'
import type { Config } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../http/list-page.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { formatSubject, type GrantRow, parseSubject, subjectsOf } from './grant-store.ts'
import { type Identities, ROLE_ACTIONS, Rules } from './rules.ts'
import type { AccountRow, CredentialRow } from './store.ts'

/** A role on the repositories of a pattern. */
export interface Grant extends Rule {
  id: number
  /** `anonymous`, `authenticated`, `group:<name>`, or an account's name. */
  subject: string
  /** Milliseconds since 1970. */
  createdAt: number
}

/** Whose access to explain: an account's (optionally through one of its tokens) or anonymous access. */
interface AccessQuestion {
  repository: RepositoryName
  account?: string | undefined
  credential?: string | undefined
}

interface GrantsOptions {
  metadata: Metadata
  access: Access
  identities: Identities
  settings: Config['grants']
}

/** Grants of roles in repositories. A subject has one role on each pattern. */
export function grants(options: GrantsOptions) {
  const { metadata, settings } = options
  return {
    /**
     * Lists grants, oldest first: those to a subject or on a pattern, if given. A server admin sees all of them, a user
     * those on their own namespace.
     */
    async list(
      principal: Principal,
      query: PageQuery & { subject?: string | undefined; pattern?: string | undefined },
    ): Promise<ListPage<Grant>> {
      const [last = 0] = parseCursor(query.cursor, 0)
      const namespace = principal.isAdmin ? undefined : principal.self()
      const subject = query.subject === undefined ? undefined : parseSubject(query.subject)
      const filter = { namespace, subject, pattern: query.pattern }
      const read = (limit: number) => metadata.grants.list(last, limit, filter).map(toGrant)
      return readPage(query, read, ({ id }) => formatCursor(id))
    },

    /**
     * Gives the subject this role on the pattern, replacing any other role there; `isNew` says if there was none. Users
     * may grant in their own namespaces, server admins anywhere. An admin gets NOT_FOUND for an unknown account or group.
     * A user does not, because that would reveal who exists: the grant is listed but has no effect. Throws NAME_INVALID
     * for a bad pattern and CONFLICT when there are too many grants.
     */
    async put(principal: Principal, { pattern, role, ...grant }: Rule & { subject: string }) {
      const act = actOn(principal, pattern)
      const subject = parseSubject(grant.subject)
      if (typeof subject === 'string' && settings.publicByAdminsOnly) {
        principal.admin('grant to anonymous or authenticated (grants.public-by-admins-only)')
      }
      const mayBeUnknown = !principal.isAdmin
      const call = { ...act, subject, pattern, role, limits: settings, mayBeUnknown }
      const { createdAt, isNew } = await metadata.write('putGrant', call)
      return { subject: formatSubject(subject), pattern, role, createdAt, isNew }
    },

    /** Throws NOT_FOUND when there is no such grant. */
    async delete(principal: Principal, grant: { subject: string; pattern: string }): Promise<void> {
      const { pattern } = grant
      const subject = parseSubject(grant.subject)
      await metadata.write('removeGrant', { ...actOn(principal, pattern), subject, pattern })
    },

    /**
     * Returns what an account may do in a repository, and why. Users may ask about themselves and their robots. Anyone
     * who may delete in the repository may also ask about anonymous access. Throws NOT_FOUND.
     */
    explain(principal: Principal, { repository, account, credential: id }: AccessQuestion): ExplainedAccess {
      if (account !== undefined) principal.owner(account)
      else if (!principal.isAdmin) principal.delete(repository)
      if (account === undefined) return explainAccess(options, repository, undefined, undefined)
      const row = metadata.accounts.find(account)
      if (row === undefined) throw registryError('NOT_FOUND', `there is no account ${account}`)
      if (id === undefined) return explainAccess(options, repository, row, undefined)
      const credential = metadata.credentials.find(id)
      if (credential?.kind === 'token' && credential.accountId === row.id)
        return explainAccess(options, repository, row, credential)
      throw registryError('NOT_FOUND', `${account} has no token ${id}`)
    },
  }
}

/** Authorizes a change of grants: users in their own namespaces, server admins anywhere. */
function actOn(principal: Principal, pattern: string): Write {
  const slash = pattern.indexOf('/')
  if (slash <= 0 || pattern.slice(0, slash) !== principal.account) return principal.admin()
  return principal.owner(principal.account)
}

function toGrant(row: GrantRow): Grant {
  return { ...row, subject: formatSubject(row.subject) }
}

/** One reason why an account has access to a repository. */
interface Reason {
  by: 'open' | 'server-admin' | 'own-namespace' | 'account' | 'group' | 'authenticated' | 'anonymous'
  /** For a grant: its subject as people write it. */
  subject?: string
  rule?: Rule
  actions: Action[]
}

/** One limit on the access: a robot's owner or a token's scope. */
interface Limit {
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
 * Explains the actions that `access` allows.
 *
 * @param row undefined is anonymous
 * @param credential one of its tokens, whose scope also applies
 */
function explainAccess(
  { metadata, identities, access }: GrantsOptions,
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
