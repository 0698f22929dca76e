import { parseRepositoryName, type RepositoryName } from '../oci/reference.ts'

/** The upstreams that are configured. */
export interface Upstreams {
  /** The upstream of this name. */
  find(name: string): Upstream | undefined
  /** The upstream whose name or whose host, with its port, this is. */
  findByHost(host: string): Upstream | undefined
}

export interface Upstream {
  /** The first components of its repositories' full names, for example `docker.io`. */
  name: string
  /** The namespace that a name of one component implies, for example Docker Hub's `library`. */
  namespace: string | undefined
}

/** Where a request came in. */
export interface Origin {
  /** Whether this is a host, with its port, by which clients reach this registry. */
  isOwnHost(host: string): boolean
  /** The upstream that this listener mirrors for Docker's `registry-mirrors`; undefined on the main listener. */
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
    if (upstream !== undefined && name.startsWith(`${upstream.name}/`)) return name
    return upstream && nameAt(upstream, name)
  }
  const [first = '', ...rest] = name.split('/')
  const upstream = upstreams.find(first)
  if (upstream === undefined) return name
  return rest.length === 0 ? undefined : nameAt(upstream, rest.join('/'))
}

function nameAt({ name, namespace }: Upstream, path: string): RepositoryName {
  const isBare = namespace !== undefined && !path.includes('/')
  return parseRepositoryName(isBare ? `${name}/${namespace}/${path}` : `${name}/${path}`)
}
