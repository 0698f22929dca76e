import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'

/** The types of events: changes to content, and warnings for admins. */
export const EVENT_TYPES = [
  'blob.push',
  'blob.mount',
  'blob.delete',
  'cache.evict',
  'manifest.cache',
  'manifest.push',
  'manifest.delete',
  'manifest.purge',
  'manifest.restore',
  'quota.critical',
  'quota.warning',
  'repository.create',
  'repository.change',
  'repository.delete',
  'repository.purge',
  'repository.restore',
  'repository.rewind',
  'retention.expire',
  'tag.follow',
  'tag.put',
  'tag.change',
  'tag.delete',
  'tag.expire',
  'tag.restore',
] as const

export type EventType = (typeof EVENT_TYPES)[number]

export interface Change {
  type: EventType
  /** For events of quotas, the namespace. */
  repository: RepositoryName
  digest?: Digest
  tag?: Tag
}
