import { t } from 'elysia'
import type { HistoryLine } from '../../../core/content/history.ts'
import type { Principal } from '../../../domain/access/principal.ts'
import { EVENT_TYPES } from '../../../domain/events.ts'
import { omitAbsent } from '../omit-absent.ts'
import { DigestText, oneOf, pageOf, Time } from '../schemas.ts'
import { toWho } from '../who.ts'

const Move = t.Object({
  at: Time,
  tag: t.String({ example: 'latest' }),
  type: t.Optional(oneOf(EVENT_TYPES, 'What moved the tag, if known')),
  digest: t.Optional(
    t.String({
      description: 'The manifest that the tag points at from this time on; absent if the tag was deleted',
    }),
  ),
  previousDigest: t.Optional(DigestText),
  reason: t.Optional(
    t.String({
      description: 'Why, if a retention policy decided it',
      example: 'policy ci: not one of the newest 10 by push time',
    }),
  ),
  restorable: t.Boolean({ description: 'Whether the previous manifest can still be restored' }),
  account: t.Optional(t.String({ description: 'Who moved the tag; hidden from anonymous callers' })),
  credentialId: t.Optional(t.String({ description: 'Server admins only, as are the fields below' })),
  address: t.Optional(t.String({ description: 'The IP address of the client', example: '192.0.2.7' })),
  requestId: t.Optional(t.String()),
})

/** A page of tag moves. */
export const Moves = pageOf(Move, 'Moves, newest first')

/** Converts a tag move, with only the fields that the principal may see. */
export function toMove(line: HistoryLine, principal: Principal) {
  const { at, tag, digest, previous, reason, isPreviousHere } = line
  const type = EVENT_TYPES.find((known) => known === line.act)
  const restorable = previous !== undefined && isPreviousHere
  return omitAbsent({
    type,
    at,
    tag,
    digest,
    previousDigest: previous,
    reason,
    restorable,
    ...toWho(line, principal),
  })
}
