import type { Principal, Write } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import {
  formatCursor,
  type ListPage,
  mapInSlices,
  PAGE_DEFAULT,
  type PageQuery,
  pageOfPart,
  parseCursor,
  readPage,
} from '../http/list-page.ts'
import { artifactKind } from '../oci/artifact-kind.ts'
import { registryError } from '../oci/error.ts'
import {
  type Digest,
  digestRange,
  type Reference,
  type RepositoryName,
  referrersTag,
  type Tag,
  tryParseDigest,
} from '../oci/reference.ts'
import {
  type ReferrerDescriptor,
  type Referrers,
  unknownIn,
  unknownManifest,
  unknownRepository,
} from '../registry/registry.ts'
import { turn } from '../runtime/clock.ts'
import { type ContentParts, type ManifestDescription, ManifestReading } from './content.ts'
import { REFERRERS_DEPTH_MAX } from './limits.ts'
import type { ListedManifest } from './store.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    manifests: ReturnType<typeof manifestService>
    blobs: ReturnType<typeof blobService>
    digests: ReturnType<typeof digestService>
  }
}

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

/** The manifests of repositories, for people. Every method throws NAME_UNKNOWN for an unknown repository. */
export function manifestService(options: ContentParts) {
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
      query: PageQuery & { deleted?: boolean | undefined },
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
    async referrers(repository: RepositoryName, reference: Reference) {
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

/** How many referrers a tree has at most. */
const REFERRERS_MAX = 500

/** Suffixes of the tags under which cosign stores things for a manifest. */
const COMPANIONS = ['.sig', '.att', '.sbom'] as const

/** How many descriptors are listed for it, also of manifests that are in it already. */
const LISTED_MAX = 4 * REFERRERS_MAX

/** A manifest that refers to another, with its own referrers. */
export interface Referrer extends ReferrerDescriptor {
  /** In words: "SPDX SBOM", "cosign signature". Undefined when there was too much to read. */
  kind: string | undefined
  /** The tag that makes it a referrer, when it has no subject. */
  tag: Tag | undefined
  referrers: Referrer[]
}

/** Builds the tree of referrers of a manifest. The limits cut off the most distant ones first. */
class ReferrersTreeBuilder {
  private readonly metadata: Metadata
  private readonly listing: Referrers
  private readonly repository: RepositoryName
  private readonly now: number
  private readonly reading: ManifestReading
  private readonly seen = new Set<Digest>()
  private listed = 0
  private truncated = false

  /** @param now milliseconds since 1970; tags that expired before are left out */
  constructor({ metadata, registry, reader }: ContentParts, repository: RepositoryName, now: number) {
    this.metadata = metadata
    this.listing = registry.referrers
    this.repository = repository
    this.now = now
    this.reading = new ManifestReading(metadata, reader, repository)
  }

  /** `truncated` says whether the limits left something out. */
  async build(subject: Digest): Promise<{ referrers: Referrer[]; truncated: boolean }> {
    this.seen.add(subject)
    const referrers: Referrer[] = []
    let level: { digest: Digest; referrers: Referrer[] }[] = [{ digest: subject, referrers }]
    for (let depth = 0; depth < REFERRERS_DEPTH_MAX && level.length > 0; depth++) {
      for (const node of level) {
        if (this.truncated) break
        node.referrers.push(...(await this.referrersOf(node.digest)))
      }
      level = level.flatMap((node) => node.referrers)
    }
    // Below the last level, this only checks whether there is anything.
    for (const { digest } of level) {
      if (this.truncated) break
      this.truncated = (await this.list(digest, undefined)).items.length > 0
    }
    return { referrers, truncated: this.truncated || this.reading.truncated }
  }

  /** Lists a page of referrers. Other requests get a turn first. */
  private async list(subject: Digest, last: Digest | undefined) {
    await turn()
    const page = await this.listing.list(this.repository, subject, { last })
    this.listed += page.items.length
    if (this.listed > LISTED_MAX) this.truncated = true
    return page
  }

  private async referrersOf(subject: Digest): Promise<Referrer[]> {
    const found: Referrer[] = []
    const add = async (descriptor: ReferrerDescriptor, tag: Tag | undefined) => {
      if (this.seen.has(descriptor.digest)) return
      if (this.seen.size > REFERRERS_MAX) {
        this.truncated = true
        return
      }
      this.seen.add(descriptor.digest)
      found.push({ ...descriptor, kind: await this.kindOf(descriptor.digest), tag, referrers: [] })
    }
    for (let last: Digest | undefined; ; ) {
      const { items, more, next } = await this.list(subject, last)
      for (const item of items) await add(item, undefined)
      last = tryParseDigest(next ?? '') ?? items.at(-1)?.digest
      if (!more || this.truncated) break
    }
    for (const suffix of COMPANIONS) {
      const tag = `${referrersTag(subject)}${suffix}` as Tag
      const row = this.metadata.manifests.find(this.repository, { tag }, this.now)
      if (row === undefined) continue
      const { digest, mediaType, size, artifactType } = row
      await add({ digest, mediaType, size, ...(artifactType === null ? {} : { artifactType }) }, tag)
    }
    return found
  }

  private async kindOf(digest: Digest): Promise<string | undefined> {
    const { manifest } = await this.reading.find(digest)
    return manifest && artifactKind(manifest.brief.traits)
  }
}

/** Describes blobs across repositories. */
export function blobService(metadata: Metadata) {
  return {
    /**
     * Describes a blob in a repository that the caller may pull from, with a page of the repositories that link it.
     * Throws BLOB_UNKNOWN.
     */
    async describe(principal: Principal, digest: Digest, query: PageQuery) {
      const [last = 0] = parseCursor(query.cursor, 0)
      const visible = principal.pullable()
      // A caller who sees none of its repositories must not learn that the blob exists, not even by timing.
      const source = metadata.blobs.findSource(digest, visible)
      const blob = await metadata.blobUses.find(digest)
      if (blob === undefined || source === undefined) {
        throw registryError('BLOB_UNKNOWN', `no repository that you may pull from has a blob ${digest}`)
      }
      const uses = await pageOfPart(
        await metadata.blobUses.list(blob.id, visible, last, query.limit ?? PAGE_DEFAULT),
        (rows) => rows,
        formatCursor,
      )
      const { size, storedAt, verifiedAt } = blob
      // The times may reveal a push to a repository that the caller cannot see.
      return {
        size,
        storedAt: undefined,
        verifiedAt: undefined,
        ...(principal.isAdmin && { storedAt, verifiedAt }),
        uses,
      }
    },
  }
}

/** How many digests a search returns at most. */
const FOUND_MAX = 10

/** Finds digests by their first characters. */
export function digestService(metadata: Metadata) {
  return {
    /**
     * Returns the first digests of manifests and blobs that begin with `prefix`, in one repository or, for server admins,
     * in all. Throws DIGEST_INVALID unless the prefix has an algorithm and six hex characters.
     */
    async find(principal: Principal, prefix: string, repository?: RepositoryName): Promise<Digest[]> {
      if (repository === undefined) principal.admin('search all digests')
      else principal.pull(repository)
      const range = digestRange(prefix)
      const id = repository === undefined ? undefined : metadata.repositories.find(repository)
      if (repository !== undefined && id === undefined) throw unknownRepository(repository)
      const deleted = repository === undefined || principal.may('delete', repository)
      return (await metadata.findDigests(range, id, deleted || principal.isAdmin)).slice(0, FOUND_MAX)
    },
  }
}
