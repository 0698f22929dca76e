import type { Listing, Page, Tags } from '../../domain/registry.ts'
import { type RepositoryName, type Tag, tryParseTag } from '../../oci/reference.ts'
import { unlessUnknown } from '../here.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { UpstreamError } from '../upstream/upstream-error.ts'
import type { UpstreamSet } from '../upstream/upstream-set.ts'
import { clientWaitOf, type ListTimes, orCached } from './list-fallback.ts'
import type { ListPages } from './list-pages.ts'

/** How many tags are requested per page of an upstream. */
const PAGE_MAX = 1000

export interface CachedTagsOptions extends ListTimes {
  tags: Tags
  upstreams: UpstreamSet
  pages: ListPages
}

/** Lists tags: the upstream's while it responds, otherwise those that are cached. */
export function cachedTags(options: CachedTagsOptions): Tags {
  const { tags, upstreams } = options
  return {
    async list(repository, page) {
      const upstream = upstreams.of(repository)
      if (upstream === undefined) return await tags.list(repository, page)
      const none = { last: '', limit: 0 }
      const isHere = (await unlessUnknown(tags.list(repository, none))) !== undefined
      const listing = tagsOf(options, upstream, repository, page, clientWaitOf(options, isHere))
      return await orCached(listing, upstream, `the list of tags of ${repository}`, () =>
        unlessUnknown(tags.list(repository, page)),
      )
    },
  }
}

/** Returns the upstream's tags. */
async function tagsOf(
  { pages }: CachedTagsOptions,
  upstream: Upstream,
  repository: RepositoryName,
  { last, limit }: Page,
  clientWaitMs: number,
): Promise<Listing<Tag>> {
  const query = new URLSearchParams({ n: String(Math.min(Math.max(limit, 1), PAGE_MAX)) })
  if (last !== '') query.set('last', last)
  return await pages.list<Tag>({
    upstream,
    repository,
    list: 'tags',
    last,
    limit,
    query: query.toString(),
    clientWaitMs,
    read: async (from) => {
      const { bytes, nextQuery } = await upstream.getList(repository, `tags/list?${from}`, clientWaitMs)
      return { entries: parseTags(bytes, upstream), nextQuery, bytes: bytes.length }
    },
    nameOf: (tag) => tag,
    skip: tagsAfter,
  })
}

/**
 * Returns the tags after the last one, because some registries return all tags, whatever the requested page. Tags that
 * are not in byte order are all kept if the last one is not among them.
 */
function tagsAfter(tags: Tag[], last: string): Tag[] {
  const index = (tags as string[]).indexOf(last)
  if (index >= 0) return tags.slice(index + 1)
  const isOrdered = tags.every((tag, at) => at === 0 || (tags[at - 1] ?? '') < tag)
  return isOrdered ? tags.filter((tag) => tag > last) : tags
}

/**
 * Returns the tags of a response, where null is a common form of none. Throws an UpstreamError if it is not a list of
 * tags.
 */
function parseTags(bytes: Uint8Array, { name }: Upstream): Tag[] {
  try {
    const { tags } = Object(JSON.parse(new TextDecoder().decode(bytes))) as { tags?: unknown }
    if (Array.isArray(tags)) return tags.flatMap((one) => tryParseTag(String(one)) ?? [])
    if (tags === null) return []
  } catch {
    // Errors below use this, too.
  }
  throw new UpstreamError('wrong', `${name} sends something else than a list of tags`)
}
