import type { Item } from '../../http/admin/answers.ts'
import { CommandError, EXIT } from '../failure.ts'
import { timeArgument } from '../input/time-argument.ts'
import type { Card } from '../output/answer.ts'
import { field } from '../output/format.ts'
import { type AdminClient, apiPath, pagesOf } from '../remote/admin-client.ts'
import { plural } from '../remote/requests.ts'
import type { Call } from '../verb.ts'

/** How many moves the confirmation reads, and how many tags it names. */
const MOVES_MAX = 5000
const NAMED_MAX = 10

/** Runs `cay repo rewind`. The confirmation says which tags it removes, moves and restores. */
export async function rewind({
  client,
  args: [name = ''],
  options: { at },
  terminal,
  confirm,
}: Call): Promise<Card> {
  if (at === undefined) throw new CommandError('name the time with --at, for example --at 2h', EXIT.usage)
  const time = timeArgument(at, terminal.now(), 'past')
  const path = apiPath('repositories', name)
  await confirm(
    `resets the tags of ${name} to where they were at ${time}: ${await changesSince(client, path, time)}`,
  )
  return {
    value: await client.request('POST', `${path}/rewind`, { at: time }),
    lines: [
      field('Tags restored', 'restoredCount', 'count'),
      field('Tags deleted', 'deletedCount', 'count'),
      field('Tags that cannot be restored', 'lostCount', 'count'),
    ],
  }
}

/** Describes what has changed since: `it removes 2 tags (a, b) and moves 1 tag (c)`. */
async function changesSince(client: AdminClient, path: string, time: string): Promise<string> {
  const tags = new Map<string, { now: string | undefined; before: string | undefined }>()
  let read = 0
  let isWhole = true
  // Moves come newest first, so the first one of a tag says where it points now, and the last one where it pointed.
  for await (const { items, nextCursor } of pagesOf(client, `${path}/history`, { limit: MOVES_MAX })) {
    const since = (items as Item<'repositories/:repository/history'>[]).filter(
      (move) => Date.parse(move.at) > Date.parse(time),
    )
    for (const { tag, digest, previousDigest } of since)
      tags.set(tag, { now: tags.has(tag) ? tags.get(tag)?.now : digest, before: previousDigest })
    read += items.length
    isWhole = nextCursor === undefined || since.length < items.length
    if (since.length < items.length) break
  }
  const names = (test: (now: string | undefined, before: string | undefined) => boolean) =>
    [...tags].filter(([, { now, before }]) => now !== before && test(now, before)).map(([tag]) => tag)
  const parts = [
    part(
      'removes',
      names((_, before) => before === undefined),
    ),
    part(
      'moves',
      names((now, before) => now !== undefined && before !== undefined),
    ),
    part(
      'restores',
      names((now) => now === undefined),
    ),
  ].filter((text) => text !== undefined)
  const more = isWhole ? '' : `, and what changed before the newest ${plural(read, 'move')}`
  return parts.length === 0 ? `no tag has moved since${more}` : `it ${parts.join(', ')}${more}`
}

function part(verb: string, names: string[]): string | undefined {
  if (names.length === 0) return undefined
  const shown = names.slice(0, NAMED_MAX).join(', ')
  return `${verb} ${plural(names.length, 'tag')} (${shown}${names.length > NAMED_MAX ? ', ...' : ''})`
}
