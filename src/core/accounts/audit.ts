import type { Notices } from '../../auth/notices.ts'
import type { Caller } from '../../domain/access/caller.ts'
import type { ActDetail, AuditRow } from '../../metadata/accounts/audit.ts'
import type { NoticeKind, NoticeRow } from '../../metadata/accounts/notices.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../page.ts'

/** A part of the log. Entries that changed nothing are kept apart, so that they cannot displace changes. */
export type AuditKind = 'change' | NoticeKind

/** An entry of the audit log: an act on accounts, grants or the server, a refusal, or a sign-in. */
export interface AuditEntry {
  id: number
  /** Milliseconds since 1970. */
  at: number
  /** For refusals and sign-ins: the first time and the count. Repeats within an hour share one entry. */
  firstAt?: number
  count?: number
  action: string
  target: string
  detail: Record<string, string | number | boolean | string[]>
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/** The audit log: who changed accounts and grants, who was refused or signed in, and from which address. */
export interface Audit {
  /** Lists entries of a kind, newest first. */
  list(query: PageQuery, kind?: AuditKind): Promise<ListPage<AuditEntry>>
  /** Records that a request of an account was denied. The write happens in the background. */
  noteRefusal(caller: Caller, target: string): void
}

const ACTIONS: Record<NoticeKind, string> = {
  refused: 'denied',
  'signed-in': 'sign-in',
  failed: 'sign-in.failed',
}

export function audit(metadata: Metadata, notices: Notices): Audit {
  return {
    async list(query, kind = 'change') {
      const [before = 0] = parseCursor(query.cursor, Number.MAX_SAFE_INTEGER)
      await notices.flush()
      const read = async (limit: number): Promise<AuditEntry[]> =>
        kind === 'change'
          ? (await metadata.audit.list(before, limit)).map(toEntry)
          : (await metadata.audit.notices.list(kind, before, limit)).map(noticeToEntry)
      return await readPage(query, read, ({ id }) => formatCursor(id))
    },

    noteRefusal: (caller, target) => notices.note({ ...caller, kind: 'refused', target }),
  }
}

function noticeToEntry({ kind, account, ...row }: NoticeRow): AuditEntry {
  return { ...row, action: ACTIONS[kind], account: account === '' ? null : account, detail: {} }
}

function toEntry({ detail, ...row }: AuditRow): AuditEntry {
  const parts = Object.entries(JSON.parse(detail) as ActDetail)
  const there = parts.flatMap(([name, value]) => (value == null ? [] : [[name, value]]))
  return { ...row, detail: Object.fromEntries(there) }
}
