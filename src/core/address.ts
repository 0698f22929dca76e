import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'

/** Where a request came in. */
export interface Origin {
  /** The `Host` header: a name of this registry itself. */
  host: string | undefined
  /** The upstream that this listener mirrors for Docker's `registry-mirrors`; undefined on the main address. */
  mirrorOf: string | undefined
}

/** The repository that a path names: a local one, or an upstream's, by its name there. */
export interface Address {
  upstream: string | undefined
  repository: RepositoryName
}

/**
 * What a path's `<name>` means. A first component names an upstream only if one of that name is configured; every
 * other name is local. A mirror's listener and `ns` (distribution-spec, "Registry Proxying") name the upstream
 * apart from the path. Answers undefined for an `ns` that is neither an upstream nor this host: local content is
 * never served under another registry's name, and the client goes on to its next host.
 */
export function addressOf(
  upstreams: ReadonlySet<string>,
  origin: Origin,
  name: RepositoryName,
  ns: string | undefined,
): Address | undefined {
  if (origin.mirrorOf !== undefined) return { upstream: origin.mirrorOf, repository: name }
  if (ns !== undefined && ns !== '' && ns !== origin.host) {
    return upstreams.has(ns) ? { upstream: ns, repository: name } : undefined
  }
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(0, slash))
  if (upstreams.has(first)) return { upstream: first, repository: parseRepositoryName(name.slice(slash + 1)) }
  return { upstream: undefined, repository: name }
}
