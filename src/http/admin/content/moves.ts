import { t } from 'elysia'
import type { HistoryLine } from '../../../core/content/history.ts'
import type { Asker } from '../../../domain/asker.ts'
import { EVENT_TYPES } from '../../../domain/events.ts'
import { present } from '../present.ts'
import { DigestText, pageOf, Time } from '../schemas.ts'
import { toWho } from '../who.ts'

const Move = t.Object({
  at: Time,
  tag: t.String({ example: 'latest' }),
  act: t.Optional(
    t.UnionEnum([...EVENT_TYPES], { default: undefined, description: 'What moved it, if known' }),
  ),
  digest: t.Optional(
    t.String({ description: 'What it points at from then on; absent: the tag was deleted' }),
  ),
  previous: t.Optional(DigestText),
  isRestorable: t.Boolean({ description: 'Whether the previous manifest can still be restored' }),
  account: t.Optional(
    t.String({ description: 'Who moved it, for authenticated callers; absent for anonymous' }),
  ),
  credential: t.Optional(t.String({ description: 'Server admins only, like the fields below' })),
  address: t.Optional(t.String()),
  requestId: t.Optional(t.String()),
})

/** A page of the moves of tags. */
export const Moves = pageOf(Move, 'Moves, newest first')

/** A move as the API tells of it, as far as the asker may know. */
export function toMove(line: HistoryLine, asker: Asker) {
  const { at, tag, digest, previous, isPreviousHere } = line
  const act = EVENT_TYPES.find((type) => type === line.act)
  const isRestorable = previous !== undefined && isPreviousHere
  return present({ act, at, tag, digest, previous, isRestorable, ...toWho(line, asker) })
}
