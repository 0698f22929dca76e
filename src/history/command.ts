import type { Card } from '../cli/answer.ts'
import { type AdminClient, apiPath, pagesOf, withQuery } from '../cli/client.ts'
import { usageError } from '../cli/failure.ts'
import { timeArgument } from '../cli/input.ts'
import { columns, formatRelativeTime, lines, type Terminal } from '../cli/output.ts'
import { type Call, type Noun, plural } from '../cli/verb.ts'
import type { GarbageRoutes } from '../garbage/models.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { TagMove } from './models.ts'

/** Events that are shown unless the command line sets a limit. */
const NEWEST = 100

/** `cay event` */
export const events: Noun = {
  summary: 'List changes of repositories, tags and manifests',
  verbs: {
    list: {
      summary: 'List events, newest first',
      isList: true,
      options: [
        ['--repository <repository>', 'only events of this repository'],
        ['--type <type>', 'only events of this type, such as tag.delete'],
        ['--all', 'list all events, not only the newest'],
      ],
      run: ({ options: { repository, type, all } }) => ({
        list: withQuery('/events', { repository, type }),
        columns: columns('time: at, type, repository, tag | tags, digest, account'),
        none: 'There are no events.',
        limit: all === 'true' ? undefined : NEWEST,
      }),
    },
  },
}

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
  if (at === undefined) throw usageError('name the time with --at, for example --at 2h')
  const time = timeArgument(at, terminal.now(), 'past')
  const path = apiPath('repositories', name)
  await confirm(
    `resets the tags of ${name} to where they were at ${time}: ${await changesSince(client, path, time)}`,
  )
  return {
    value: await client.request('POST', `${path}/rewind`, { at: time }),
    lines: lines(
      'Tags restored: restoredCount, Tags deleted: deletedCount, Tags that cannot be restored: lostCount',
    ),
  }
}

/** Describes what has changed since: `it removes 2 tags (a, b) and moves 1 tag (c)`. */
async function changesSince(client: AdminClient, path: string, time: string): Promise<string> {
  const tags = new Map<string, { now: string | undefined; before: string | undefined }>()
  let read = 0
  let isWhole = true
  // Moves come newest first, so the first one of a tag says where it points now, and the last one where it pointed.
  for await (const { items, nextCursor } of pagesOf(client, `${path}/history`, { limit: MOVES_MAX })) {
    const since = (items as TagMove[]).filter((move) => Date.parse(move.at) > Date.parse(time))
    for (const { tag, digest, previousDigest } of since)
      tags.set(tag, { now: tags.has(tag) ? tags.get(tag)?.now : digest, before: previousDigest })
    read += items.length
    isWhole = nextCursor === undefined || since.length < items.length
    if (since.length < items.length) break
  }
  const part = (verb: string, test: (now: string | undefined, before: string | undefined) => boolean) => {
    const moved = [...tags].filter(([, { now, before }]) => now !== before && test(now, before))
    const shown = moved
      .slice(0, NAMED_MAX)
      .map(([tag]) => tag)
      .join(', ')
    const more = moved.length > NAMED_MAX ? ', ...' : ''
    return moved.length === 0 ? [] : [`${verb} ${plural(moved.length, 'tag')} (${shown}${more})`]
  }
  const parts = [
    ...part('removes', (_, before) => before === undefined),
    ...part('moves', (now, before) => now !== undefined && before !== undefined),
    ...part('restores', (now) => now === undefined),
  ]
  const more = isWhole ? '' : `, and what changed before the newest ${plural(read, 'move')}`
  return parts.length === 0 ? `no tag has moved since${more}` : `it ${parts.join(', ')}${more}`
}

/**
 * Returns the part of a confirmation that says how to undo: `it can be restored with cay tag restore until ...`. Only
 * server admins can read the window, so others see no time.
 */
export async function wayBack(
  client: AdminClient,
  terminal: Terminal,
  command: string,
  subject = 'it',
): Promise<string> {
  if (!client.isOwner) return `${subject} can be restored with ${command} for a limited time`
  const { garbageWindow } = await client.request<AnswerOf<GarbageRoutes, 'gc'>>('GET', '/gc')
  const until = new Date(terminal.now() + garbageWindow.windowSeconds * 1000).toISOString()
  return `${subject} can be restored with ${command} until ${formatRelativeTime(until, terminal)}`
}
