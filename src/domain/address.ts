import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'

/** The configured upstreams. */
export interface Upstreams {
  /** Returns the upstream with this name. */
  find(name: string): Upstream | undefined
  /** Returns the upstream with this name or this host and port. */
  findByHost(host: string): Upstream | undefined
}

export interface Upstream {
  /** The first components of its repositories' full names, such as `docker.io`. */
  name: string
  /** The namespace implied by a name of one component, such as Docker Hub's `library`. */
  namespace: string | undefined
}

/** The listener that received a request. */
export interface Origin {
  /** Reports whether clients reach this registry by this host and port. */
  isOwnHost(host: string): boolean
  /** The upstream that the listener mirrors for Docker's `registry-mirrors`. Undefined on the main listener. */
  mirrorOf: Upstream | undefined
}

/**
 * Returns the full name of the repository that a request addresses: its rows, its grants and its challenges all use
 * this name. A repository of an upstream begins with the upstream's name. The upstream is the one that the listener
 * mirrors, or that `ns` names (distribution-spec, "Registry Proxying"), or that the name begins with.
 *
 * Returns undefined if there can be no such repository: for the bare name of an upstream, and for an `ns` that is
 * neither an upstream nor this registry. Local content is never served under another registry's name, so the client
 * tries its next host. Throws NAME_INVALID if the full name is too long.
 */
export function repositoryOf(
  upstreams: Upstreams,
  origin: Origin,
  name: RepositoryName,
  ns: string | undefined,
): RepositoryName | undefined {
  if (origin.mirrorOf !== undefined) return nameAt(origin.mirrorOf, name)
  if (ns !== undefined && ns !== '' && !origin.isOwnHost(ns)) {
    const upstream = upstreams.findByHost(ns)
    // BuildKit sends ns also to a mirror whose path has the upstream's name already.
    if (upstream !== undefined && name.startsWith(`${upstream.name}/`))
      return nameAt(upstream, name.slice(upstream.name.length + 1))
    return upstream && nameAt(upstream, name)
  }
  // Each pull comes here: a name that is full already is not parsed again.
  const slash = name.indexOf('/')
  const upstream = upstreams.find(slash < 0 ? name : name.slice(0, slash))
  if (upstream === undefined) return name
  if (slash < 0) return undefined
  const isFull = upstream.namespace === undefined || name.includes('/', slash + 1)
  return isFull ? name : nameAt(upstream, name.slice(slash + 1))
}

function nameAt({ name, namespace }: Upstream, path: string): RepositoryName {
  const isBare = namespace !== undefined && !path.includes('/')
  return parseRepositoryName(isBare ? `${name}/${namespace}/${path}` : `${name}/${path}`)
}
