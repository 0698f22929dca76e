import { and, asc, count, eq, gt, gte, lt, or, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import type { Rule } from '../../domain/access/rule.ts'
import { parseRepositoryPattern } from '../../domain/repository-pattern.ts'
import { registryError } from '../../oci/error.ts'
import type { Db } from '../database.ts'
import { accessGrant, account, accountGroup } from '../schema/account-schema.ts'
import { statement, text } from '../statement.ts'
import type { RecordAct } from './audit.ts'

/** Who a grant is for. */
export type Subject = 'anonymous' | 'authenticated' | { account: string } | { group: string }

export interface GrantRow extends Rule {
  id: number
  subject: Subject
  createdAt: number
}

/** Which grants to list: those on a namespace, to a subject, on a pattern. */
interface GrantRowFilter {
  namespace?: string | undefined
  subject?: Subject | undefined
  pattern?: string | undefined
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
    /** Returns the grants of a subject, one of `subjectsOf`. */
    rulesOf: (subject: string): Rule[] => rules.all({ subject }),

    /** Returns the subjects that have more grants than this. */
    subjectsWithMore: (grants: number): string[] =>
      db
        .select({ subject: accessGrant.subject })
        .from(accessGrant)
        .groupBy(accessGrant.subject)
        .having(gt(count(), grants))
        .all()
        .map(({ subject }) => subject),

    /** Returns at most `limit` grants after the id `last`: all, or those that a filter selects. */
    list(last: number, limit: number, { namespace, subject, pattern }: GrantRowFilter = {}): GrantRow[] {
      const [from, before] = rangeOf(namespace ?? '')
      const isWithin =
        namespace === undefined
          ? undefined
          : and(gte(accessGrant.pattern, from), lt(accessGrant.pattern, before))
      const isOn = pattern === undefined ? undefined : eq(accessGrant.pattern, pattern)
      return named(db)
        .where(and(gt(accessGrant.id, last), isWithin, isOn, isFor(subject)))
        .orderBy(asc(accessGrant.id))
        .limit(limit)
        .all()
        .map(toGrant)
    },
  }
}

/** Selects grants to one subject, also if it does not exist. */
function isFor(subject: Subject | undefined) {
  if (subject === undefined) return undefined
  if (typeof subject === 'string') return eq(accessGrant.subject, subject)
  const isKnown =
    'account' in subject ? eq(account.name, subject.account) : eq(accountGroup.name, subject.group)
  return or(isKnown, eq(accessGrant.subject, unknown(subject).subject))
}

/** Returns the subjects of an account and its groups, as grants store them. Undefined is anonymous. */
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
  const by =
    account !== null
      ? { account }
      : group !== null
        ? { group }
        : parseSubject(subject.startsWith(UNKNOWN) ? subject.slice(UNKNOWN.length) : subject)
  return { id, pattern, role, createdAt, subject: by }
}

/** How many grants there may be. */
export interface GrantLimits {
  /** On the repositories of one namespace. */
  namespaceMax: number
  /** To one subject. */
  subjectMax: number
}

interface GrantWrite extends Write {
  subject: Subject
  pattern: string
}

/** Writes of grants, each for one call of the writer. */
export function grantWrites(db: Db, recordAct: RecordAct) {
  const { resolve, find } = grantees(db)
  const checkLimits = grantCounts(db)
  const known = statement(db, { subject: text, pattern: text }, ({ subject, pattern }) =>
    db
      .select({ role: accessGrant.role })
      .from(accessGrant)
      .where(and(eq(accessGrant.subject, subject), eq(accessGrant.pattern, pattern))),
  )
  const roleOf = (subject: string, pattern: string) => known.get({ subject, pattern })?.role
  const remove = (subject: string, pattern: string) =>
    db
      .delete(accessGrant)
      .where(and(eq(accessGrant.subject, subject), eq(accessGrant.pattern, pattern)))
      .returning({ id: accessGrant.id, createdAt: accessGrant.createdAt })
      .get()
  return {
    /**
     * Grants a role on a pattern, and replaces the subject's previous role there. Throws CONFLICT when there are too
     * many grants. Throws NOT_FOUND for an unknown account or group, unless `mayBeUnknown` is set. The grant is then
     * stored without an effect, so that the caller does not learn who exists.
     */
    putGrant(call: GrantWrite & Rule & { limits: GrantLimits; mayBeUnknown: boolean }) {
      const { pattern, role } = call
      parseRepositoryPattern(pattern)
      const grantee = call.mayBeUnknown
        ? (find(call.subject) ?? unknown(call.subject))
        : resolve(call.subject)
      const before = roleOf(grantee.subject, pattern)
      if (before === undefined) checkLimits(grantee.subject, pattern, call.limits)
      const left = unknown(call.subject).subject
      // Does not record the replacement, because that would reveal that the grantee now exists.
      const replaced = grantee.subject === left ? undefined : remove(left, pattern)
      const { id, createdAt } = db
        .insert(accessGrant)
        .values({ ...grantee, pattern, role, createdAt: call.at, ...replaced })
        .onConflictDoUpdate({ target: [accessGrant.subject, accessGrant.pattern], set: { role } })
        .returning({ id: accessGrant.id, createdAt: accessGrant.createdAt })
        .get()
      const target = formatSubject(call.subject)
      const act = { action: 'grant.set', target, detail: { pattern, role } }
      if (before !== role) recordAct(act, call.caller, call.at)
      const isNew = before === undefined && replaced === undefined
      return {
        stale: 'grants',
        id,
        createdAt,
        isNew,
        subject: grantee.subject,
        rule: { pattern, role },
      } as const
    },

    /** Throws NOT_FOUND when there is no such grant. */
    removeGrant(call: GrantWrite) {
      const { pattern } = call
      const subject = find(call.subject)?.subject
      const target = formatSubject(call.subject)
      const removed = subject === undefined ? undefined : remove(subject, pattern)
      if (removed === undefined && !remove(unknown(call.subject).subject, pattern))
        throw registryError('NOT_FOUND', `${target} has no grant on ${pattern}`)
      recordAct({ action: 'grant.delete', target, detail: { pattern } }, call.caller, call.at)
      return { stale: 'grants', subject: subject ?? '', removed: pattern } as const
    },
  }
}

/**
 * Turns grants that users gave in their own namespaces to accounts or a group about to be removed into grants to an
 * unknown name. If they disappeared, the users would learn that the account existed.
 */
export function grantsOutlive(db: Db) {
  const owner = sql`select 1 from account owner where owner.kind = 'user'
    and owner.name = substr(pattern, 1, instr(pattern, '/') - 1)`
  return {
    /** Keeps the grants to an account and its robots. Grants on their own namespace are removed with them. */
    account: (id: number): void =>
      db.run(sql`update or ignore access_grant set account_id = null, subject = ${UNKNOWN} || grantee.name
        from account grantee where grantee.id = access_grant.account_id and ${id} in (grantee.id, grantee.owner_id)
        and exists (${owner} and owner.id not in (grantee.id, ifnull(grantee.owner_id, 0)))`),
    group: (id: number): void =>
      db.run(sql`update or ignore access_grant set group_id = null, subject = ${`${UNKNOWN}group:`} || grantee.name
        from account_group grantee where grantee.id = ${id} and access_grant.group_id = ${id} and exists (${owner})`),
  }
}

/** Returns the subject of a grant, as the table stores it. */
type Grantee = Pick<typeof accessGrant.$inferInsert, 'subject' | 'accountId' | 'groupId'>

function grantees(db: Db) {
  const find = (subject: Subject): Grantee | undefined => {
    if (typeof subject === 'string') return { subject, accountId: null, groupId: null }
    const [table, name] = 'account' in subject ? [account, subject.account] : [accountGroup, subject.group]
    const row = db.select({ id: table.id }).from(table).where(eq(table.name, name)).get()
    if (row === undefined) return undefined
    return 'account' in subject
      ? { subject: `account:${row.id}`, accountId: row.id, groupId: null }
      : { subject: `group:${row.id}`, accountId: null, groupId: row.id }
  }
  const resolve = (subject: Subject): Grantee => {
    const found = find(subject)
    if (found !== undefined || typeof subject === 'string') return found ?? unknown(subject)
    const [kind, name] = 'account' in subject ? ['account', subject.account] : ['group', subject.group]
    throw registryError('NOT_FOUND', `there is no ${kind} ${JSON.stringify(name)}`)
  }
  return { find, resolve }
}

const UNKNOWN = 'name:'

/** Returns the subject of a grant to an account or a group that does not exist. */
function unknown(subject: Subject): Grantee {
  return { subject: UNKNOWN + formatSubject(subject), accountId: null, groupId: null }
}

/** Throws CONFLICT if another grant would exceed a limit. */
function grantCounts(db: Db) {
  const ofSubject = statement(db, { subject: text }, ({ subject }) =>
    db.select({ n: count() }).from(accessGrant).where(eq(accessGrant.subject, subject)),
  )
  const ofNamespace = statement(db, { from: text, before: text }, ({ from, before }) =>
    db
      .select({ n: count() })
      .from(accessGrant)
      .where(and(gte(accessGrant.pattern, from), lt(accessGrant.pattern, before))),
  )
  return (subject: string, pattern: string, { namespaceMax, subjectMax }: GrantLimits): void => {
    const namespace = pattern.split('/', 1)[0] ?? ''
    const [from, before] = rangeOf(namespace)
    if (!namespace.includes('*') && (ofNamespace.get({ from, before })?.n ?? 0) >= namespaceMax) {
      throw tooMany(`on ${namespace}/...`, namespaceMax, 'grants.namespace-max')
    }
    if ((ofSubject.get({ subject })?.n ?? 0) >= subjectMax) {
      throw tooMany('to this subject', subjectMax, 'grants.subject-max')
    }
  }
}

function tooMany(where: string, max: number, setting: string) {
  const message = `there are ${max} grants ${where} already, the most that ${setting} allows: use patterns or groups`
  return registryError('CONFLICT', message)
}

/** Patterns that begin with `a/` lie between `a/` and `a0`, because `0` is the character after `/`. */
function rangeOf(namespace: string): [from: string, before: string] {
  return [`${namespace}/`, `${namespace}0`]
}

/** Formats a subject as people write it: `anonymous`, `authenticated`, `group:<name>`, or an account's name. */
export function formatSubject(subject: Subject): string {
  if (typeof subject === 'string') return subject
  return 'account' in subject ? subject.account : `group:${subject.group}`
}

/** The inverse of formatSubject. */
export function parseSubject(text: string): Subject {
  if (text === 'anonymous' || text === 'authenticated') return text
  return text.startsWith('group:') ? { group: text.slice('group:'.length) } : { account: text }
}
