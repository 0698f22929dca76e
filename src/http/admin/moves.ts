import { t } from 'elysia'
import { EVENT_TYPES } from '../../metadata/events.ts'
import type { HistoryLine } from '../../metadata/history.ts'
import { present } from './present.ts'
import { DigestText, pageOf, Time, timeOf } from './schemas.ts'

const Move = t.Object({
  at: Time,
  tag: t.String({ example: 'latest' }),
  act: t.Optional(
    t.UnionEnum([...EVENT_TYPES], { default: undefined, description: 'By which act, where that is known' }),
  ),
  digest: t.Optional(
    t.String({ description: 'Where it points from then on; left out: there is no such tag' }),
  ),
  previous: t.Optional(DigestText),
  isRestorable: t.Boolean({ description: 'Whether what it pointed at before is still here' }),
  account: t.Optional(t.String({ description: 'Who moved it; left out for anonymous' })),
  credential: t.Optional(t.String({ description: 'For a server admin only, as is what follows' })),
  address: t.Optional(t.String()),
  requestId: t.Optional(t.String()),
})

/** A page of the moves of tags. */
export const Moves = pageOf(Move, 'Moves, newest first')

/** A move as the API tells of it; where a request came from is for server admins. */
export function toMove(line: HistoryLine, isAdmin: boolean) {
  const { at, tag, digest, previous, isPreviousHere, account, credential, address, requestId } = line
  return present({
    act: EVENT_TYPES.find((type) => type === line.act),
    ...{ at: timeOf(at), tag, digest, previous, account },
    isRestorable: previous !== undefined && isPreviousHere,
    ...(isAdmin ? { credential, address, requestId } : {}),
  })
}
