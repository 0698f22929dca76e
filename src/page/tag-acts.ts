import { call, revision } from './api.ts'
import { countOf } from './format.ts'
import { confirm } from './parts/dialog.tsx'
import { attempt } from './parts/toast.tsx'

/** A tag with what it points at, so that it can be put back. */
export interface PointedTag {
  name: string
  digest: string
}

/** How many requests of one act are in flight at once. */
const IN_FLIGHT_MAX = 4

/** Asks, then deletes tags. The message that says so can undo it. */
export async function deleteTags(repository: string, tags: PointedTag[]): Promise<boolean> {
  const what = tags.length === 1 ? `tag ${tags[0]?.name}` : countOf(tags.length, 'tag')
  const isSure = await confirm({
    title: `Delete ${what}?`,
    text: `This deletes ${what} from ${repository}. The manifests stay, and the tags can be restored from the history.`,
    action: `Delete ${what}`,
  })
  if (!isSure) return false
  return await attempt(
    () =>
      onEach(tags, ({ name }) =>
        call('delete', 'repositories/:repository/tags/:tag', { params: { repository, tag: name } }),
      ),
    `Deleted ${what}`,
    () => restoreTags(repository, tags),
  )
}

/** Points tags back at their digests. */
export function restoreTags(repository: string, tags: PointedTag[]): Promise<void> {
  return onEach(tags, ({ name, digest }) =>
    call('post', 'repositories/:repository/tags/:tag/restore', {
      params: { repository, tag: name },
      body: { digest },
    }),
  )
}

/** Sets when tags expire; null: never. */
export function expireTags(
  repository: string,
  tags: PointedTag[],
  expiresAt: string | null,
): Promise<boolean> {
  return attempt(
    () =>
      onEach(tags, ({ name }) =>
        call('patch', 'repositories/:repository/tags/:tag', {
          params: { repository, tag: name },
          body: { expiresAt },
        }),
      ),
    expiresAt === null
      ? `${countOf(tags.length, 'tag')} no longer expire`
      : `${countOf(tags.length, 'tag')} will expire ${new Date(expiresAt).toLocaleDateString('en', { dateStyle: 'medium' })}`,
  )
}

/** Does the same for each item, a few at once. What is shown is read again once, also after a failure. */
async function onEach<T>(items: readonly T[], act: (item: T) => Promise<unknown>): Promise<void> {
  const queue = [...items]
  const work = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await act(item)
  }
  try {
    await Promise.all(Array.from({ length: IN_FLIGHT_MAX }, work))
  } finally {
    revision.value++
  }
}
