import { attempt, attemptIfSure } from '../parts/toast.tsx'
import { countOf } from '../values/format.ts'
import { call } from './api.ts'
import { onEach } from './on-each.ts'

/** A tag with its digest, so that it can be restored. */
export interface PointedTag {
  name: string
  digest: string
}

/** Asks for confirmation, then deletes tags. The confirming message offers to undo it. */
export async function deleteTags(repository: string, tags: PointedTag[]): Promise<boolean> {
  const what = tags.length === 1 ? `tag ${tags[0]?.name}` : countOf(tags.length, 'tag')
  return await attemptIfSure(
    {
      title: `Delete ${what}?`,
      text: `This deletes ${what} from ${repository}. They can be restored from the history until the garbage collector deletes their manifests.`,
      action: `Delete ${what}`,
    },
    () => deleteAgain(repository, tags),
    `Deleted ${what}`,
    () => restoreTags(repository, tags),
  )
}

/** Deletes tags without asking, for example to undo a restore. */
export function deleteAgain(repository: string, tags: PointedTag[]): Promise<void> {
  return onEach(tags, ({ name }) =>
    call('delete', 'repositories/:repository/tags/:tag', { params: { repository, tag: name } }),
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
      ? `${countOf(tags.length, 'tag')} no longer ${tags.length === 1 ? 'expires' : 'expire'}`
      : `${countOf(tags.length, 'tag')} will expire on ${new Date(expiresAt).toLocaleDateString('en', { dateStyle: 'medium' })}`,
  )
}
