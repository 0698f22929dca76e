import { and, asc, count, eq, getTableColumns, gt, gte, lt, or, sql } from 'drizzle-orm'
import type { Rule, Write } from '../access/access.ts'
import { parseRepositoryPattern } from '../access/patterns.ts'
import { accessGrant, account, accountGroup } from '../database/account-schema.ts'
import type { Db } from '../database/database.ts'
import { deleteBy, insertForId, number, selectBy, statement, text, updateBy } from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import type { RecordAct } from './store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    grants: ReturnType<typeof grantReads>
  }
  interface Operations extends ReturnType<typeof grantWrites> {}
}

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
  const crowded = statement(
    db,
    { grants: number },
    ({ grants }) => sql<{ subject: string }>`select subject from access_grant
      group by subject having count(*) > ${grants}`,
  )
  return {
    /** Returns the grants of a subject, one of `subjectsOf`. */
    rulesOf: (subject: string): Rule[] => rules.all({ subject }),

    /** Returns the subjects that have more grants than this. */
    subjectsWithMore: (grants: number): string[] => crowded.all({ grants }).map(({ subject }) => subject),

    /** Returns at most `limit` grants after the id `last`: all, or those that a filter selects. */
    list(last: number, limit: number, filter: GrantRowFilter = {}): GrantRow[] {
      const { namespace, subject, pattern } = filter
      const [from, before] = rangeOf(namespace ?? '')
      const [name = ''] = typeof subject === 'object' ? Object.values<string>(subject) : []
      const stored = typeof subject === 'object' ? unknown(subject).subject : (subject ?? '')
      const values = { last, limit, from, before, pattern: pattern ?? '', name, subject: stored }
      return filtered(db, filter).all(values).map(toGrant)
    },
  }
}

/** Returns the subjects of an account and its groups, as grants store them. Undefined is anonymous. */
export function subjectsOf(accountId: number | undefined, groupIds: number[]): string[] {
  if (accountId === undefined) return ['anonymous']
  return ['anonymous', 'authenticated', `account:${accountId}`, ...groupIds.map((id) => `group:${id}`)]
}

/** Lists grants with the names of their subjects, which need not exist. There is a statement for each set of filters. */
function filtered(db: Db, { namespace, subject, pattern }: GrantRowFilter) {
  const kind = typeof subject === 'object' ? ('account' in subject ? account : accountGroup) : undefined
  const filters = [namespace, pattern, subject, kind].map((filter) => filter !== undefined)
  const texts = { from: text, before: text, pattern: text, name: text, subject: text }
  return statement(
    db,
    { last: number, limit: number, ...texts },
    (wanted) => {
      const isSubject = eq(accessGrant.subject, wanted.subject)
      return db
        .select({ ...getTableColumns(accessGrant), account: account.name, group: accountGroup.name })
        .from(accessGrant)
        .leftJoin(account, eq(account.id, accessGrant.accountId))
        .leftJoin(accountGroup, eq(accountGroup.id, accessGrant.groupId))
        .where(
          and(
            gt(accessGrant.id, wanted.last),
            namespace === undefined
              ? undefined
              : and(gte(accessGrant.pattern, wanted.from), lt(accessGrant.pattern, wanted.before)),
            pattern === undefined ? undefined : eq(accessGrant.pattern, wanted.pattern),
            subject === undefined ? undefined : kind ? or(eq(kind.name, wanted.name), isSubject) : isSubject,
          ),
        )
        .orderBy(asc(accessGrant.id))
        .limit(wanted.limit)
    },
    `grants ${filters} ${kind === account}`,
  )
}

type NamedGrant = ReturnType<ReturnType<typeof filtered>['all']>[number]

function toGrant({ id, pattern, role, subject, createdAt, account, group }: NamedGrant): GrantRow {
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
  const known = selectBy(db, accessGrant, 'subject', 'pattern')
  const insert = insertForId(db, accessGrant)
  const setRole = updateBy(db, accessGrant, ['role'], 'id')
  const removal = deleteBy(db, accessGrant, 'id')
  const remove = (subject: string, pattern: string) => {
    const row = known.get({ subject, pattern })
    if (row !== undefined) removal.run({ id: row.id })
    return row
  }
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
      const before = known.get({ subject: grantee.subject, pattern })
      if (before === undefined) checkLimits(grantee.subject, pattern, call.limits)
      const left = unknown(call.subject).subject
      // Does not record the replacement, because that would reveal that the grantee now exists.
      const replaced = grantee.subject === left ? undefined : remove(left, pattern)
      const { createdAt } = before ?? replaced ?? { createdAt: call.at }
      if (before !== undefined) setRole.run({ id: before.id, role })
      const { id } = before ?? insert.get({ ...grantee, id: replaced?.id, pattern, role, createdAt })
      const target = formatSubject(call.subject)
      const act = { action: 'grant.set', target, detail: { pattern, role } }
      if (before?.role !== role) recordAct(act, call.caller, call.at)
      const isNew = before === undefined && replaced === undefined
      const changed = { subject: grantee.subject, rule: { pattern, role } }
      return { stale: 'grants', id, createdAt, isNew, ...changed } as const
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
  const ofAccount = statement(
    db,
    { id: number },
    ({ id }) => sql`update or ignore access_grant set account_id = null, subject = ${UNKNOWN} || grantee.name
      from account grantee where grantee.id = access_grant.account_id and ${id} in (grantee.id, grantee.owner_id)
      and exists (${owner} and owner.id not in (grantee.id, ifnull(grantee.owner_id, 0)))`,
  )
  const ofGroup = statement(
    db,
    { id: number },
    ({
      id,
    }) => sql`update or ignore access_grant set group_id = null, subject = ${`${UNKNOWN}group:`} || grantee.name
      from account_group grantee where grantee.id = ${id} and access_grant.group_id = ${id} and exists (${owner})`,
  )
  return {
    /** Keeps the grants to an account and its robots. Grants on their own namespace are removed with them. */
    account: (id: number): void => ofAccount.run({ id }),
    group: (id: number): void => ofGroup.run({ id }),
  }
}

/** Returns the subject of a grant, as the table stores it. */
type Grantee = Pick<typeof accessGrant.$inferInsert, 'subject' | 'accountId' | 'groupId'>

function grantees(db: Db) {
  const accounts = selectBy(db, account, 'name')
  const groups = selectBy(db, accountGroup, 'name')
  const find = (subject: Subject): Grantee | undefined => {
    if (typeof subject === 'string') return { subject, accountId: null, groupId: null }
    const row =
      'account' in subject ? accounts.get({ name: subject.account }) : groups.get({ name: subject.group })
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
