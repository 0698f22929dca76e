import { LRUCache } from 'lru-cache'
import type { Caller, Identity } from '../access/access.ts'
import type { BodyReader, BodySource } from '../http/body.ts'
import type { Noted } from '../http/request-log.ts'
import { type Digest, parseDigest } from '../oci/digest.ts'
import { parseReference, parseRepositoryName, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { ManifestPulls } from './pulls.ts'
import type { Registry } from './registry.ts'

/** A request, as its handler sees it. */
export interface Exchange<K extends PathKind = PathKind> {
  request: Request
  path: Extract<V2Path, { kind: K }>
  registry: Registry
  /** Manifests in a format that the client can read. */
  pulls: ManifestPulls
  /** The repository's full name; `path.name` is what the client sent. */
  repository: RepositoryName
  query: URLSearchParams
  /** The caller's identity, for access checks. */
  identity: Identity
  /** Returns the caller as writes record it. */
  caller(): Caller
  limits: V2Limits
  /** Reads manifest bodies. */
  bodies: BodyReader
  /** Returns what readers of the body need to know of the request. */
  source(): BodySource
  /** Waits before a large manifest is read. Throws if the client has left, or if too much is being sent. */
  beforeLarge(bytes: number): Promise<void>
  /** What the log says about the request. */
  noted: Noted
  /** Measures pushes for the log. */
  pushes: PushMeter
  /** Counts bytes of manifests; handlers add to it. */
  traffic: { received: number; sent: number }
  /** Called for each blob body that is sent, with its size in bytes and whether it is sent from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

export interface V2Limits {
  manifestBytesMax: number
  /** Maximum entries of a page of tags or repositories. */
  pageMax: number
  /** Maximum tags of a push by digest. */
  tagsPerPushMax: number
}

/** Returns the query of a URL. An empty query costs nothing. */
export function queryOf(url: string): URLSearchParams {
  const at = url.indexOf('?')
  return at < 0 ? EMPTY : new URLSearchParams(url.slice(at + 1))
}

const EMPTY: URLSearchParams = new URLSearchParams()

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

/** Returns the header of a warning that persists (RFC 7234, 5.5.7). */
export function warningOf(warning: string | undefined): Record<string, string> {
  return warning === undefined ? {} : { warning: `299 - "${warning}"` }
}

/** end-1: confirms that this registry implements the distribution-spec. */
export function getBase(): Response {
  return Response.json({})
}

/** How many pushes are measured at once, and how long one can be idle. */
const PUSHES_MAX = 4096
const IDLE_MS = 3_600_000

/** A push, as far as the server can see it. */
export interface MeasuredPush {
  /** Bytes of the blobs that were uploaded for it. Blobs that the registry already had are not uploaded. */
  bytes: number
  /** When its first upload began, from performance.now(). */
  began: number
}

/** Measures pushes for the log: from the first upload of a client to a repository until its manifest. */
export class PushMeter {
  private readonly pushes = new LRUCache<string, MeasuredPush>({ max: PUSHES_MAX, ttl: IDLE_MS })

  /** Counts an upload that began, or the bytes of one that was completed. */
  count(caller: Caller, repository: RepositoryName, bytes = 0): void {
    const key = keyOf(caller, repository)
    const { began, bytes: before } = this.pushes.get(key) ?? { bytes: 0, began: performance.now() }
    this.pushes.set(key, { began, bytes: before + bytes })
  }

  /** Returns the push that a manifest completes. Undefined if nothing was uploaded for it. */
  take(caller: Caller, repository: RepositoryName): MeasuredPush | undefined {
    const key = keyOf(caller, repository)
    const push = this.pushes.get(key)
    this.pushes.delete(key)
    return push
  }
}

function keyOf({ account = '', address }: Caller, repository: RepositoryName): string {
  return `${account}\n${address}\n${repository}`
}
