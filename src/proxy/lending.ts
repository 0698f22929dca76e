import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { CachedBlobsOptions } from './cached-blobs-options.ts'
import type { Fill } from './fills/fill.ts'
import { findNamedSize } from './named-size.ts'
import type { Upstream } from './upstream/upstream.ts'

type LendingOptions = Pick<CachedBlobsOptions, 'metadata' | 'upstreams' | 'fills' | 'damaged'>

/** Decides for which repositories a blob can be used that is here, or is being fetched. */
export class Lending {
  private readonly options: LendingOptions

  constructor(options: LendingOptions) {
    this.options = options
  }

  /** Returns the running fill of a blob that this repository has requested. Joining it needs no other look-up. */
  fillOf(upstream: Upstream, repository: RepositoryName, digest: Digest): Fill | undefined {
    const fill = this.options.fills.find(digest)
    return fill?.order.upstream === upstream && fill.repositories.has(repository) ? fill : undefined
  }

  /** Returns the size of a blob that the repository does not link, and that GET sends without asking the upstream. */
  findSize(upstream: Upstream, repository: RepositoryName, digest: Digest): number | undefined {
    const { metadata, fills, damaged } = this.options
    const running = fills.find(digest)
    const own = this.fillOf(upstream, repository, digest)
    if (own !== undefined) return own.order.size
    const named = findNamedSize(metadata, repository, digest)
    if (named === undefined) return undefined
    if (running?.order.upstream === upstream && running.order.size === named) return named
    const isLent = metadata.cache.findLender(upstream.name, digest) === named && !damaged.isHidden(digest)
    return isLent ? named : undefined
  }

  /** Reports whether a stored blob can be linked into a repository of an upstream, once that upstream has confirmed it. */
  isLendable(digest: Digest, to: Upstream): boolean {
    return this.options.metadata.cache.holders(digest).some(({ upstream }) => this.mayLend(upstream, to))
  }

  /** Reports whether content of this holder can be used for an upstream. Undefined stands for pushed content. */
  mayLend(holder: string | undefined, to: Upstream): boolean {
    if (holder === undefined || holder === to.name) return true
    return this.options.upstreams.find(holder)?.settings.isPrivate === false
  }
}
