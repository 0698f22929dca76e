import { type ExplainedAccess, explainAccess } from '../../auth/explained-access.ts'
import type { Identities } from '../../auth/identities.ts'
import type { Config } from '../../config/config-schema.ts'
import type { Access } from '../../domain/access/access.ts'
import type { Write } from '../../domain/access/caller.ts'
import type { Principal } from '../../domain/access/principal.ts'
import type { Rule } from '../../domain/access/rule.ts'
import { formatSubject, type GrantRow, parseSubject } from '../../metadata/accounts/grants.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../page.ts'

export type { ExplainedAccess }

/** A role on the repositories of a pattern. */
export interface Grant extends Rule {
  id: number
  /** `anonymous`, `authenticated`, `group:<name>`, or an account's name. */
  subject: string
  /** Milliseconds since 1970. */
  createdAt: number
}

/** A grant that was put, and whether it is new: otherwise its role was replaced. */
export interface PutGrant extends Omit<Grant, 'id'> {
  isNew: boolean
}

/** Whose access to explain: an account's (optionally through one of its tokens) or anonymous access. */
export interface AccessQuestion {
  repository: RepositoryName
  account?: string | undefined
  credential?: string | undefined
}

/** Which grants to list. */
export interface GrantFilter {
  subject?: string | undefined
  pattern?: string | undefined
}

/** Grants of roles in repositories. A subject has one role on each pattern. */
export interface Grants {
  /**
   * Lists grants, oldest first: those to a subject or on a pattern, if given. A server admin sees all of them, a user
   * those on their own namespace.
   */
  list(principal: Principal, query: PageQuery & GrantFilter): Promise<ListPage<Grant>>
  /**
   * Gives the subject this role on the pattern, replacing any other role there. Users may grant in their own
   * namespaces, server admins anywhere. An admin gets NOT_FOUND for an unknown account or group. A user does not,
   * because that would reveal who exists: the grant is listed but has no effect. Throws NAME_INVALID for a bad pattern
   * and CONFLICT when there are too many grants.
   */
  put(principal: Principal, grant: Pick<Grant, 'subject' | 'pattern' | 'role'>): Promise<PutGrant>
  /** Throws NOT_FOUND when there is no such grant. */
  delete(principal: Principal, grant: Pick<Grant, 'subject' | 'pattern'>): Promise<void>
  /**
   * Returns what an account may do in a repository, and why. Users may ask about themselves and their robots. Anyone
   * who may delete in the repository may also ask about anonymous access. Throws NOT_FOUND.
   */
  explain(principal: Principal, question: AccessQuestion): Promise<ExplainedAccess>
}

export interface GrantsOptions {
  metadata: Metadata
  access: Access
  identities: Identities
  settings: Config['grants']
}

export function grants(options: GrantsOptions): Grants {
  const { metadata, settings } = options
  return {
    async list(principal, query) {
      const [last = 0] = parseCursor(query.cursor, 0)
      const namespace = principal.isAdmin ? undefined : principal.self()
      const subject = query.subject === undefined ? undefined : parseSubject(query.subject)
      const filter = { namespace, subject, pattern: query.pattern }
      const read = (limit: number) => metadata.grants.list(last, limit, filter).map(toGrant)
      return readPage(query, read, ({ id }) => formatCursor(id))
    },

    async put(principal, { pattern, role, ...grant }) {
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

    async delete(principal, { subject, pattern }) {
      await metadata.write('removeGrant', {
        ...actOn(principal, pattern),
        subject: parseSubject(subject),
        pattern,
      })
    },

    async explain(principal, { repository, account, credential: id }) {
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
