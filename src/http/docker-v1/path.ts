import { parseRepositoryName, parseTag, type RepositoryName, type Tag } from '../../oci/reference.ts'

/** A parsed and validated path under /v1. */
export type V1Path =
  | { kind: 'ping' }
  | { kind: 'internalPing' }
  | { kind: 'search' }
  | { kind: 'users' }
  | { kind: 'user'; account: string }
  | { kind: 'repository'; name: RepositoryName }
  | { kind: 'images'; name: RepositoryName }
  | { kind: 'auth'; name: RepositoryName }
  | { kind: 'tags'; name: RepositoryName }
  | { kind: 'tag'; name: RepositoryName; tag: Tag }
  | { kind: 'json'; id: string }
  | { kind: 'ancestry'; id: string }
  | { kind: 'layer'; id: string }
  | { kind: 'checksum'; id: string }

export type V1PathKind = V1Path['kind']

/** The OpenAPI template of each kind of path. */
export const V1_PATH_TEMPLATES: Record<V1PathKind, string> = {
  ping: '/v1/_ping',
  internalPing: '/v1/_internal_ping',
  search: '/v1/search',
  users: '/v1/users/',
  user: '/v1/users/{account}/',
  repository: '/v1/repositories/{name}/',
  images: '/v1/repositories/{name}/images',
  auth: '/v1/repositories/{name}/auth',
  tags: '/v1/repositories/{name}/tags',
  tag: '/v1/repositories/{name}/tags/{tag}',
  json: '/v1/images/{id}/json',
  ancestry: '/v1/images/{id}/ancestry',
  layer: '/v1/images/{id}/layer',
  checksum: '/v1/images/{id}/checksum',
}

/**
 * Parses the path of a request, without its query, and ignores a trailing slash. Names can have slashes, so the path of a
 * repository is parsed from its end. Returns undefined if no row serves the path; throws NAME_INVALID or
 * MANIFEST_INVALID for an invalid name or tag.
 */
export function parseV1Path(path: string): V1Path | undefined {
  const [, version, noun, ...rest] = path.replace(/\/$/, '').split('/')
  if (version !== 'v1') return undefined
  switch (noun) {
    case '_ping':
      return rest.length === 0 ? { kind: 'ping' } : undefined
    case '_internal_ping':
      return rest.length === 0 ? { kind: 'internalPing' } : undefined
    case 'search':
      return rest.length === 0 ? { kind: 'search' } : undefined
    case 'users':
      return parseUser(rest)
    case 'images':
      return parseImage(rest)
    case 'repositories':
      return rest.length === 0 ? undefined : parseRepository(rest)
    default:
      return undefined
  }
}

function parseUser([account, ...more]: string[]): V1Path | undefined {
  if (account === undefined) return { kind: 'users' }
  if (more.length > 0) return undefined
  try {
    return { kind: 'user', account: decodeURIComponent(account) }
  } catch {
    return undefined
  }
}

function parseImage([id = '', noun = '', ...more]: string[]): V1Path | undefined {
  const isKind = noun === 'json' || noun === 'ancestry' || noun === 'layer' || noun === 'checksum'
  return isKind && more.length === 0 ? { kind: noun, id } : undefined
}

function parseRepository(words: string[]): V1Path {
  const last = words.at(-1)
  if (words.length > 1 && (last === 'images' || last === 'auth' || last === 'tags')) {
    return { kind: last, name: nameOf(words.slice(0, -1)) }
  }
  if (words.length > 2 && words.at(-2) === 'tags') {
    return { kind: 'tag', name: nameOf(words.slice(0, -2)), tag: parseTag(last ?? '') }
  }
  return { kind: 'repository', name: nameOf(words) }
}

function nameOf(words: string[]): RepositoryName {
  return parseRepositoryName(words.join('/'))
}
