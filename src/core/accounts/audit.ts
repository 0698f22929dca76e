import type { Write } from '../../domain/caller.ts'
import type { Act, ActDetail, AuditRow } from '../../metadata/accounts/audit.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../page.ts'

/** An act on accounts, grants or the server, as the audit trail keeps it. */
export interface AuditEntry {
  id: number
  /** Milliseconds since 1970. */
  at: number
  action: string
  target: string
  detail: Record<string, string | number | boolean | string[]>
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/** The audit trail: who did what to accounts and grants, and from where. */
export interface Audit {
  /** Lists acts, newest first. */
  list(query: PageQuery): Promise<ListPage<AuditEntry>>
  /** Notes an act on something that is not in the database. */
  note(write: Write, act: Act): Promise<void>
  /** Notes that an act was refused, when there is time for it. */
  noteRefusal(write: Write, target: string): void
}

export function audit(metadata: Metadata): Audit {
  return {
    list(query) {
      const [before = 0] = parseCursor(query.last, Number.MAX_SAFE_INTEGER)
      return readPage(
        query,
        (limit) => metadata.audit.list(before, limit).map(toEntry),
        ({ id }) => formatCursor(id),
      )
    },

    note: ({ caller, at }, act) => metadata.write('noteAct', { caller, at, ...act }),

    noteRefusal({ caller, at }, target) {
      void metadata.write('noteRefusal', { caller, at, action: 'refused', target }).catch(() => {})
    },
  }
}

function toEntry({ detail, ...row }: AuditRow): AuditEntry {
  const parts = Object.entries(JSON.parse(detail) as ActDetail)
  const there = parts.flatMap(([name, value]) => (value == null ? [] : [[name, value]]))
  return { ...row, detail: Object.fromEntries(there) }
}
