import { manifestPath, repositoryPath } from '../routes.ts'
import type { Item } from '../server/api.ts'
import { shortDigest, visible } from '../values/format.ts'
import { Time } from './tables/values.tsx'

export type ContentEvent = Item<'events'>

/** What each type of event says about its repository and tag. */
export const eventNames: Record<ContentEvent['type'], string> = {
  'blob.push': 'pushed a blob to',
  'blob.mount': 'mounted a blob in',
  'blob.delete': 'deleted a blob from',
  'cache.evict': 'evicted from the cache',
  'manifest.cache': 'cached',
  'manifest.push': 'pushed',
  'manifest.delete': 'deleted a manifest of',
  'manifest.purge': 'permanently deleted a manifest of',
  'manifest.restore': 'restored a manifest of',
  'quota.critical': 'warned of a quota that is more than 95 % used:',
  'quota.warning': 'warned of a quota that is more than 80 % used:',
  'repository.create': 'created',
  'repository.change': 'changed the settings of',
  'repository.delete': 'deleted the repository',
  'repository.purge': 'permanently deleted the repository',
  'repository.restore': 'restored the repository',
  'repository.rewind': 'rewound the tags of',
  'retention.expire': 'expired by retention',
  'tag.follow': 'followed the upstream of',
  'tag.put': 'tagged',
  'tag.change': 'changed the expiry of',
  'tag.delete': 'deleted the tag',
  'tag.expire': 'expired the tag',
  'tag.restore': 'restored the tag',
}

/** Returns whether what an event names is gone afterwards. */
export function isGone({ type }: ContentEvent): boolean {
  return /delete|purge|evict|expire/.test(type)
}

/** An event as a sentence: who did what, where, when. */
export function EventLine({ event }: { event: ContentEvent }) {
  const { type, repository, tag, digest, account, at } = event
  const reference = tag ?? digest
  const shown = tag === undefined ? digest && `@${shortDigest(digest)}` : `:${tag}`
  return (
    <>
      <span class="move">
        <b>{account === undefined ? 'cay' : visible(account)}</b> {eventNames[type]}{' '}
        {type.startsWith('quota.') ? (
          repository
        ) : isGone(event) || reference === undefined || type.startsWith('blob.') ? (
          <a href={repositoryPath(repository)}>
            {repository}
            {shown}
          </a>
        ) : (
          <a href={manifestPath(repository, reference)}>
            {repository}
            {shown}
          </a>
        )}
      </span>
      <small>
        <Time at={at} />
      </small>
    </>
  )
}
