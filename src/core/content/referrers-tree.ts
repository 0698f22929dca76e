import type { ReferrerDescriptor, Referrers } from '../../domain/registry.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { artifactKind } from '../../oci/artifact-kind.ts'
import { type Digest, tryParseDigest } from '../../oci/digest.ts'
import { type RepositoryName, referrersTag, type Tag } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { ContentReader } from '../content-reader.ts'
import { ManifestReading } from './manifest-reading.ts'

/** How deep referrers of referrers are followed. */
export const REFERRERS_DEPTH_MAX = 5
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

export interface ReferrersTree {
  referrers: Referrer[]
  /** Whether the tree was truncated. */
  truncated: boolean
}

export interface ReferrersSources {
  metadata: Metadata
  registry: { referrers: Referrers }
  reader: ContentReader
}

/** Builds the tree of referrers of a manifest. The limits cut off the most distant ones first. */
export class ReferrersTreeBuilder {
  private readonly metadata: Metadata
  private readonly listing: Referrers
  private readonly repository: RepositoryName
  private readonly now: number
  private readonly reading: ManifestReading
  private readonly seen = new Set<Digest>()
  private listed = 0
  private truncated = false

  /** @param now milliseconds since 1970; tags that expired before are left out */
  constructor({ metadata, registry, reader }: ReferrersSources, repository: RepositoryName, now: number) {
    this.metadata = metadata
    this.listing = registry.referrers
    this.repository = repository
    this.now = now
    this.reading = new ManifestReading(metadata, reader, repository)
  }

  async build(subject: Digest): Promise<ReferrersTree> {
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
