import type { Manifests, Referrers, Tags } from '../../domain/registry.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { UpstreamSet } from '../upstream/upstream-set.ts'
import { cachedReferrers } from './cached-referrers.ts'
import { cachedTags } from './cached-tags.ts'
import type { ListTimes } from './list-fallback.ts'
import { ListPages } from './list-pages.ts'

export interface CachedListsOptions extends ListTimes {
  tags: Tags
  referrers: Referrers
  /** The manifests, including those of upstreams, for referrers tags. */
  manifests: Pick<Manifests, 'get'>
  metadata: Metadata
  upstreams: UpstreamSet
  monotonic: () => number
  freshMs: number
}

/** Lists tags and referrers: the upstream's while it responds, otherwise what is cached. */
export class CachedLists {
  readonly tags: Tags
  readonly referrers: Referrers
  private readonly pages: ListPages

  constructor(options: CachedListsOptions) {
    this.pages = new ListPages(options)
    this.tags = cachedTags({ ...options, pages: this.pages })
    this.referrers = cachedReferrers({ ...options, pages: this.pages })
  }

  /** Drops the cached responses of upstreams. */
  forgetAnswers(): void {
    this.pages.forget()
  }
}
