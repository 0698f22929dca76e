import type { UpstreamSettings } from '../../config/upstreams.ts'
import type { Upstreams } from '../../domain/address.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { Upstream, type UpstreamOptions } from './upstream.ts'

/** The current upstreams, by name and by host. */
export class UpstreamSet implements Upstreams {
  private readonly options: UpstreamOptions
  private readonly byName = new Map<string, Upstream>()
  private byHost: ReadonlyMap<string, Upstream> = new Map()

  constructor(options: UpstreamOptions) {
    this.options = options
  }

  find(name: string): Upstream | undefined {
    return this.byName.get(name)
  }

  findByHost(host: string): Upstream | undefined {
    return this.byHost.get(host)
  }

  /** Returns the upstream that a repository is cached from; undefined for a local one. */
  of(repository: RepositoryName): Upstream | undefined {
    if (this.byName.size === 0) return undefined
    const slash = repository.indexOf('/')
    return slash < 0 ? undefined : this.byName.get(repository.slice(0, slash))
  }

  list(): Upstream[] {
    return [...this.byName.values()]
  }

  /** Adds an upstream, or replaces the one of this name. */
  put(settings: UpstreamSettings): Upstream {
    const upstream = new Upstream(settings, this.options)
    this.byName.set(upstream.name, upstream)
    this.indexHosts()
    return upstream
  }

  remove(name: string): void {
    this.byName.delete(name)
    this.indexHosts()
  }

  /** Closes idle connections. */
  close(): void {
    for (const upstream of this.byName.values()) upstream.close()
  }

  /** If two upstreams have the same host, the one added first keeps it. Configured ones are added first. */
  private indexHosts(): void {
    const hosts = this.list().flatMap((upstream) =>
      [upstream.name, upstream.settings.urls[0].host, ...upstream.settings.hosts].map(
        (host): [string, Upstream] => [host, upstream],
      ),
    )
    this.byHost = new Map(hosts.reverse())
  }
}
