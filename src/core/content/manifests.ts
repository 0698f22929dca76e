import type { Write } from '../../domain/access/caller.ts'
import type { Principal } from '../../domain/access/principal.ts'
import type { Registry } from '../../domain/registry.ts'
import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import type { ListedManifest } from '../../metadata/content/repositories/catalog.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Reference, RepositoryName, Tag } from '../../oci/reference.ts'
import type { ProxyCache } from '../../proxy/proxy-cache.ts'
import type { ContentReader } from '../content-reader.ts'
import { formatCursor, type ListPage, mapInSlices, type PageQuery, parseCursor, readPage } from '../page.ts'
import type { LargePushes } from '../registry/large-pushes.ts'
import { unknownManifest } from '../registry/local-manifests.ts'
import { unknownIn, unknownRepository } from '../unknown.ts'
import type { OnlyLocal } from './cache/only-local.ts'
import type { Descriptions, ManifestDescription } from './description.ts'
import { type ReferrersTree, ReferrersTreeBuilder } from './referrers-tree.ts'

/** How many tags a list names for each manifest. */
const LISTED_TAGS_MAX = 10

/** A manifest of a list. */
export interface ManifestSummary extends ListedManifest {
  /** In words: "Helm chart", "Container image". */
  kind: string
  /** The first tags that point at it. */
  tags: Tag[]
  /** For a deleted manifest, in milliseconds since 1970. */
  restorableUntil: number | undefined
}

export interface ManifestQuery extends PageQuery {
  /** Lists the deleted manifests that can be restored, instead of those that exist. */
  deleted?: boolean | undefined
}

export interface ManifestOptions {
  metadata: Metadata
  registry: Registry
  reader: ContentReader
  garbageWindow: GarbageWindow
  descriptions: Descriptions
  cache: ProxyCache
  requireLocal: OnlyLocal
  largePushes: LargePushes
  now: () => number
}

/** The manifests of repositories, for people. Every method throws NAME_UNKNOWN for an unknown repository. */
export function manifestService(options: ManifestOptions) {
  const { metadata, garbageWindow, descriptions, cache, requireLocal, now, largePushes } = options
  const { windowMs } = garbageWindow
  const summary = async (row: ListedManifest): Promise<ManifestSummary> => ({
    ...row,
    kind: descriptions.kindOf(row),
    tags: await metadata.tags.ofManifest(row.id, '', LISTED_TAGS_MAX, now()),
    restorableUntil: row.deletedAt === null ? undefined : row.deletedAt + windowMs,
  })
  return {
    /** Lists manifests, newest first. Only callers who may delete see deleted ones. */
    async list(
      principal: Principal,
      repository: RepositoryName,
      query: ManifestQuery,
    ): Promise<ListPage<ManifestSummary>> {
      if (query.deleted) principal.delete(repository)
      const [before = 0] = parseCursor(query.cursor, Number.MAX_SAFE_INTEGER)
      const { catalog } = metadata
      const read = async (limit: number) => {
        const found = query.deleted
          ? await catalog.deletedManifests(repository, now() - windowMs, before, limit)
          : await catalog.manifests(repository, before, limit)
        if (found === undefined) throw unknownRepository(repository)
        return await mapInSlices(found, summary)
      }
      return await readPage(query, read, ({ id }) => formatCursor(id))
    },

    /** Describes a manifest and its parts. Throws MANIFEST_UNKNOWN. */
    describe(repository: RepositoryName, reference: Reference): Promise<ManifestDescription> {
      return descriptions.describe(repository, reference, now())
    },

    /** Returns the tree of referrers of a manifest. Throws MANIFEST_UNKNOWN. */
    async referrers(
      repository: RepositoryName,
      reference: Reference,
    ): Promise<ReferrersTree & { digest: Digest }> {
      const row = metadata.manifests.find(repository, reference, now())
      if (row === undefined) throw unknownIn(metadata, repository, unknownManifest(repository, reference))
      const builder = new ReferrersTreeBuilder(options, repository, now())
      return { digest: row.digest, ...(await builder.build(row.digest)) }
    },

    /** Deletes a manifest with its tags; a cached one is evicted. Throws MANIFEST_UNKNOWN. */
    async delete(act: Write, repository: RepositoryName, digest: Digest): Promise<void> {
      if (cache.upstreams.of(repository)) return await cache.manifests.evict(act, repository, { digest })
      const bytes = metadata.manifests.findByDigest(repository, digest)?.size ?? 0
      await largePushes.change(act.caller.account, bytes, () =>
        metadata.write('deleteManifest', { ...act, repository, reference: { digest } }),
      )
    },

    /** Restores a manifest that was deleted within the undo window. Returns the tags restored with it. */
    async restore(act: Write, repository: RepositoryName, digest: Digest): Promise<Tag[]> {
      requireLocal(repository, 'its deleted manifests were evicted and cannot be restored')
      const windowStart = act.at - windowMs
      const bytes = metadata.manifests.findBytes(digest)?.length ?? 0
      const restored = await largePushes.change(act.caller.account, bytes, () =>
        metadata.write('restoreManifest', { ...act, repository, digest, windowStart }),
      )
      return restored.tags
    },
  }
}
