import type { Upstreams } from '../domain/address.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Upstream } from './upstream.ts'

/** The upstreams that are configured, by name and by host. */
export class UpstreamSet implements Upstreams {
  private readonly byName: ReadonlyMap<string, Upstream>
  private readonly byHost: ReadonlyMap<string, Upstream>

  constructor(upstreams: readonly Upstream[]) {
    this.byName = new Map(upstreams.map((upstream) => [upstream.name, upstream]))
    this.byHost = new Map(
      upstreams.flatMap((upstream) =>
        [upstream.name, upstream.settings.urls[0].host, ...upstream.settings.hosts].map((host) => [
          host,
          upstream,
        ]),
      ),
    )
  }

  find(name: string): Upstream | undefined {
    return this.byName.get(name)
  }

  findByHost(host: string): Upstream | undefined {
    return this.byHost.get(host)
  }

  /** The upstream that a repository is cached of; undefined for a local one. */
  of(repository: RepositoryName): Upstream | undefined {
    if (this.byName.size === 0) return undefined
    const slash = repository.indexOf('/')
    return slash < 0 ? undefined : this.byName.get(repository.slice(0, slash))
  }

  list(): Upstream[] {
    return [...this.byName.values()]
  }

  /** Closes idle connections. */
  close(): void {
    for (const upstream of this.byName.values()) upstream.close()
  }
}
