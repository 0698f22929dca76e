import { type ExplainedAccess, explainAccess } from '../../auth/explained-access.ts'
import type { Identities } from '../../auth/identities.ts'
import type { Access } from '../../domain/access.ts'
import type { Write } from '../../domain/caller.ts'
import type { Rule } from '../../domain/rule.ts'
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

/** Whose access is explained: an account's, or anybody's; through one of its tokens, or through any credential. */
export interface AccessQuestion {
  repository: RepositoryName
  account?: string | undefined
  credential?: string | undefined
}

/** What subjects may do in repositories. A subject has one role on each pattern. */
export interface Grants {
  /** Lists grants, oldest first: all, or those on a namespace. */
  list(query: PageQuery, namespace?: string): Promise<ListPage<Grant>>
  /** Gives the subject this role, instead of the one it has. Throws NOT_FOUND, and NAME_INVALID for a bad pattern. */
  put(act: Write, grant: Pick<Grant, 'subject' | 'pattern' | 'role'>): Promise<void>
  /** Throws NOT_FOUND. */
  delete(act: Write, grant: Pick<Grant, 'subject' | 'pattern'>): Promise<void>
  /** Returns what an account may do in a repository, and why. Throws NOT_FOUND. */
  explain(question: AccessQuestion): Promise<ExplainedAccess>
}

export interface GrantsOptions {
  metadata: Metadata
  access: Access
  identities: Identities
}

export function grants(options: GrantsOptions): Grants {
  const { metadata } = options
  return {
    list(query, namespace) {
      const [last = 0] = parseCursor(query.last, 0)
      const read = (limit: number) => metadata.grants.list(last, limit, namespace).map(toGrant)
      return readPage(query, read, ({ id }) => formatCursor(id))
    },

    async put(act, { subject, pattern, role }) {
      await metadata.write('putGrant', { ...act, subject: parseSubject(subject), pattern, role })
    },

    async delete(act, { subject, pattern }) {
      await metadata.write('removeGrant', { ...act, subject: parseSubject(subject), pattern })
    },

    async explain({ repository, account, credential: id }) {
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

function toGrant(row: GrantRow): Grant {
  return { ...row, subject: formatSubject(row.subject) }
}
