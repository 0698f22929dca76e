import type { Write } from '../access/access.ts'
import type { TagState } from '../history/store.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../http/list-page.ts'
import type { Digest, RepositoryName, Tag } from '../oci/reference.ts'
import { unknownIn, unknownManifest, unknownRepository } from '../registry/registry.ts'
import type { TagQuery, TagRow } from '../registry/store.ts'
import type { ContentParts, Outline } from './content.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    tags: ReturnType<typeof tagService>
  }
}

/** A tag with its manifest's kind in words. */
export interface DescribedTag extends TagRow {
  kind: string
  outline?: Outline | undefined
}

export interface TagSearch extends PageQuery {
  /** Whether to add the outlines of the manifests, which must be read for them. */
  details?: boolean | undefined
  /** Part of the name, ignoring case. */
  q?: string | undefined
  sort?: TagQuery['sort'] | undefined
  order?: TagQuery['order'] | undefined
}

export interface NamedTag {
  repository: RepositoryName
  tag: Tag
}

/**
 * The tags of repositories. Every method throws NAME_UNKNOWN for an unknown repository. Changes throw DENIED (409) and
 * PRECONDITION_FAILED.
 */
export function tagService({
  metadata,
  garbageWindow,
  descriptions,
  cache,
  requireLocal,
  now,
}: ContentParts) {
  const describe = (row: TagRow): DescribedTag => ({
    ...row,
    kind: descriptions.kindOf({ ...row, digest: row.storedAs }),
  })
  return {
    async list(repository: RepositoryName, query: TagSearch): Promise<ListPage<DescribedTag>> {
      const { q, sort = 'name', order = 'asc', cursor, details = false } = query
      const after = sort === 'name' ? afterName(cursor) : afterTime(cursor)
      const read = async (limit: number) => {
        const found = await metadata.tags.search(repository, { q, sort, order, after }, limit, now())
        if (found === undefined) throw unknownRepository(repository)
        return found.map(describe)
      }
      const page = await readPage(query, read, ({ name, updatedAt }) =>
        sort === 'name' ? name : `${formatCursor(updatedAt)}.${name}`,
      )
      if (!details) return page
      const stored = page.items.map(({ storedAs }) => storedAs)
      const outlines = await descriptions.outline(repository, stored)
      return { ...page, items: page.items.map((tag, at) => ({ ...tag, outline: outlines[at] })) }
    },

    /** Throws MANIFEST_UNKNOWN for an unknown tag. */
    async get(repository: RepositoryName, tag: Tag): Promise<DescribedTag> {
      const found = await metadata.tags.find(repository, tag, now())
      if (found !== undefined) return describe(found)
      throw unknownIn(metadata, repository, unknownManifest(repository, { tag }))
    },

    /** Points a tag at a manifest in the repository. Returns whether the tag is new. Throws MANIFEST_UNKNOWN. */
    async put(act: Write, named: NamedTag, digest: Digest): Promise<boolean> {
      requireLocal(named.repository, 'its tags follow the upstream, and cannot be set')
      return (await metadata.write('putTag', { ...act, ...named, digest })).isNew
    },

    /** Sets when a tag expires, in milliseconds since 1970, or null. Throws MANIFEST_UNKNOWN or REQUEST_INVALID. */
    async expire(act: Write, named: NamedTag, expiresAt: number | null): Promise<void> {
      requireLocal(named.repository, 'its tags follow the upstream, and cannot expire')
      await metadata.write('expireTag', { ...act, ...named, expiresAt })
    },

    /** Deletes a tag but not its manifest; evicts a cached one with its last tag. Throws MANIFEST_UNKNOWN. */
    async delete(act: Write, { repository, tag }: NamedTag): Promise<void> {
      if (cache.upstreams.of(repository)) return await cache.manifests.evict(act, repository, { tag })
      await metadata.write('deleteManifest', { ...act, repository, reference: { tag } })
    },

    /**
     * Points a tag at a digest it pointed at before, or where it pointed at a time, within the undo window. Restores
     * the manifest if it was deleted. Returns the digest. Throws MANIFEST_UNKNOWN or REQUEST_INVALID.
     */
    async restore(act: Write, named: NamedTag, to: TagState): Promise<Digest> {
      requireLocal(named.repository, 'its tags follow the upstream, and cannot be restored')
      const windowStart = act.at - garbageWindow.windowMs
      return (await metadata.write('restoreTag', { ...act, ...named, windowStart, to })).digest
    },
  }
}

function afterName(cursor: string | undefined) {
  return cursor === undefined || cursor === '' ? undefined : { name: cursor as Tag, updatedAt: 0 }
}

/** Parses the cursor `<milliseconds>.<tag>`. The tag may contain dots. */
function afterTime(cursor: string | undefined) {
  if (cursor === undefined || cursor === '') return undefined
  const dot = cursor.indexOf('.')
  const [updatedAt = 0] = parseCursor(cursor.slice(0, Math.max(dot, 1)), 0)
  return { name: cursor.slice(dot + 1) as Tag, updatedAt }
}
