import { type Digest, parseDigest } from '../../oci/digest.ts'
import {
  parseReference,
  parseRepositoryName,
  type Reference,
  type RepositoryName,
} from '../../oci/reference.ts'

/** A parsed and validated path under /v2. */
export type V2Path =
  | { kind: 'base' }
  | { kind: 'catalog' }
  | { kind: 'blob'; name: RepositoryName; digest: Digest }
  | { kind: 'manifest'; name: RepositoryName; reference: Reference }
  | { kind: 'uploads'; name: RepositoryName }
  | { kind: 'upload'; name: RepositoryName; id: string }
  | { kind: 'tags'; name: RepositoryName }
  | { kind: 'referrers'; name: RepositoryName; digest: Digest }

export type PathKind = V2Path['kind']

/** The OpenAPI template of each kind of path. */
export const PATH_TEMPLATES: Record<PathKind, string> = {
  base: '/v2/',
  catalog: '/v2/_catalog',
  blob: '/v2/{name}/blobs/{digest}',
  manifest: '/v2/{name}/manifests/{reference}',
  uploads: '/v2/{name}/blobs/uploads/',
  upload: '/v2/{name}/blobs/uploads/{id}',
  tags: '/v2/{name}/tags/list',
  referrers: '/v2/{name}/referrers/{digest}',
}

/**
 * Parses the path of a request, without its query. Names can have slashes and any word as a component, so the path is
 * parsed from its end. Returns undefined if no row serves the path; throws NAME_INVALID, DIGEST_INVALID or
 * MANIFEST_INVALID if a part of it is invalid.
 */
export function parsePath(path: string): V2Path | undefined {
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  if (!path.startsWith('/v2/')) return undefined
  const rest = path.slice('/v2/'.length)
  const uploads = rest.endsWith('/') ? '/blobs/uploads/' : '/blobs/uploads'
  if (rest.endsWith(uploads)) {
    return { kind: 'uploads', name: parseRepositoryName(rest.slice(0, -uploads.length)) }
  }
  const slash = rest.lastIndexOf('/')
  const before = rest.lastIndexOf('/', slash - 1)
  if (before <= 0) return undefined
  // Some clients percent-encode the colon of a digest. No other character of a path is ever encoded.
  const last = rest.slice(slash + 1).replace(/%3a/i, ':')
  return parseTail(rest.slice(0, before), rest.slice(before + 1, slash), last)
}

function parseTail(head: string, noun: string, last: string): V2Path | undefined {
  switch (noun) {
    case 'manifests':
      return { kind: 'manifest', name: parseRepositoryName(head), reference: parseReference(last) }
    case 'blobs':
      return { kind: 'blob', name: parseRepositoryName(head), digest: parseDigest(last) }
    case 'referrers':
      return { kind: 'referrers', name: parseRepositoryName(head), digest: parseDigest(last) }
    case 'tags':
      return last === 'list' ? { kind: 'tags', name: parseRepositoryName(head) } : undefined
    case 'uploads': {
      if (!head.endsWith('/blobs')) return undefined
      return { kind: 'upload', name: parseRepositoryName(head.slice(0, -'/blobs'.length)), id: last }
    }
    default:
      return undefined
  }
}
