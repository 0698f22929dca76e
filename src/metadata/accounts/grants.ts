import { and, asc, eq, gt, sql } from 'drizzle-orm'
import type { Write } from '../../domain/caller.ts'
import { parseRepositoryPattern } from '../../domain/repository-pattern.ts'
import type { Rule } from '../../domain/rule.ts'
import { registryError } from '../../oci/error.ts'
import { accessGrant, account, accountGroup } from '../account-schema.ts'
import type { Db } from '../database.ts'
import { statement, text } from '../statement.ts'
import type { TellAct } from './audit.ts'

/** Who a grant is for. */
export type Subject = 'anonymous' | 'authenticated' | { account: string } | { group: string }

export interface GrantRow extends Rule {
  id: number
  subject: Subject
  createdAt: number
}

/** Reads of grants. */
export function grantReads(db: Db) {
  const rules = statement(db, { subject: text }, ({ subject }) =>
    db
      .select({ pattern: accessGrant.pattern, role: accessGrant.role })
      .from(accessGrant)
      .where(eq(accessGrant.subject, subject)),
  )
  return {
    /** What is granted to a subject, one of `subjectsOf`. */
    rulesOf: (subject: string): Rule[] => rules.all({ subject }),

    /** At most `limit` grants after the id `last`: all, or those on a namespace. */
    list(last: number, limit: number, namespace?: string): GrantRow[] {
      const isWithin =
        namespace === undefined
          ? undefined
          : sql`substr(${accessGrant.pattern}, 1, ${namespace.length + 1}) = ${`${namespace}/`}`
      return named(db)
        .where(and(gt(accessGrant.id, last), isWithin))
        .orderBy(asc(accessGrant.id))
        .limit(limit)
        .all()
        .map(toGrant)
    },
  }
}

/** The subjects that an account with its groups is, as grants have them: undefined is anonymous. */
export function subjectsOf(accountId: number | undefined, groupIds: number[]): string[] {
  if (accountId === undefined) return ['anonymous']
  return ['anonymous', 'authenticated', `account:${accountId}`, ...groupIds.map((id) => `group:${id}`)]
}

/** Grants with the names of their subjects. */
function named(db: Db) {
  return db
    .select({ grant: accessGrant, account: account.name, group: accountGroup.name })
    .from(accessGrant)
    .leftJoin(account, eq(account.id, accessGrant.accountId))
    .leftJoin(accountGroup, eq(accountGroup.id, accessGrant.groupId))
}

interface NamedGrant {
  grant: typeof accessGrant.$inferSelect
  account: string | null
  group: string | null
}

function toGrant({ grant: { id, pattern, role, subject, createdAt }, account, group }: NamedGrant): GrantRow {
  const by = account !== null ? { account } : group !== null ? { group } : (subject as 'anonymous')
  return { id, pattern, role, createdAt, subject: by }
}

/** Writes of grants, each for one call of the writer. */
export function grantWrites(db: Db, tell: TellAct) {
  const resolve = (subject: Subject) => {
    if (typeof subject === 'string') return { subject, accountId: null, groupId: null }
    const [table, name] = 'account' in subject ? [account, subject.account] : [accountGroup, subject.group]
    const row = db.select({ id: table.id }).from(table).where(eq(table.name, name)).get()
    const kind = 'account' in subject ? 'account' : 'group'
    if (!row) throw registryError('NOT_FOUND', `there is no ${kind} ${JSON.stringify(name)}`)
    return {
      subject: `${kind}:${row.id}`,
      accountId: kind === 'account' ? row.id : null,
      groupId: kind === 'group' ? row.id : null,
    }
  }
  return {
    /** Gives a role on a pattern; a subject has one role on each pattern, the last one given. */
    putGrant(call: Write & { subject: Subject } & Rule) {
      const { pattern, role } = call
      parseRepositoryPattern(pattern)
      const grantee = resolve(call.subject)
      const { id } = db
        .insert(accessGrant)
        .values({ ...grantee, pattern, role, createdAt: call.at })
        .onConflictDoUpdate({ target: [accessGrant.subject, accessGrant.pattern], set: { role } })
        .returning({ id: accessGrant.id })
        .get()
      tell(
        { action: 'grant.put', target: formatSubject(call.subject), detail: { pattern, role } },
        call.caller,
        call.at,
      )
      return { stale: 'grants', id, subject: grantee.subject, rule: { pattern, role } } as const
    },

    /** Throws NOT_FOUND when there is no such grant. */
    removeGrant(call: Write & { subject: Subject; pattern: string }) {
      const { subject } = resolve(call.subject)
      const removed = db
        .delete(accessGrant)
        .where(and(eq(accessGrant.subject, subject), eq(accessGrant.pattern, call.pattern)))
        .returning({ id: accessGrant.id })
        .all()
      const target = formatSubject(call.subject)
      if (removed.length === 0) throw registryError('NOT_FOUND', `${target} has no grant on ${call.pattern}`)
      tell({ action: 'grant.remove', target, detail: { pattern: call.pattern } }, call.caller, call.at)
      return { stale: 'grants', subject, removed: call.pattern } as const
    },
  }
}

/** A subject as people write it: `anonymous`, `authenticated`, `group:<name>`, or an account's name. */
export function formatSubject(subject: Subject): string {
  if (typeof subject === 'string') return subject
  return 'account' in subject ? subject.account : `group:${subject.group}`
}

/** The inverse of formatSubject. */
export function parseSubject(text: string): Subject {
  if (text === 'anonymous' || text === 'authenticated') return text
  return text.startsWith('group:') ? { group: text.slice('group:'.length) } : { account: text }
}
