import type { ManifestPulls } from '../../core/pulls/manifest-pulls.ts'
import type { Identity } from '../../domain/access/access.ts'
import type { Caller } from '../../domain/access/caller.ts'
import type { Registry } from '../../domain/registry.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { ownText } from '../../own-text.ts'
import type { Noted } from '../noted.ts'
import type { BodyReader, BodySource } from '../request/body-reader.ts'
import type { PathKind, V2Path } from './path.ts'
import type { PushMeter } from './push-meter.ts'

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

/** A path keeps at most so many other characters of its URL in memory. Copying each would cost 0.3 us. */
const SHARED_CHARACTERS_MAX = 512

/** Returns the path of an absolute URL, without its query and not decoded. */
export function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  const end = url.indexOf('?', start)
  const path = end < 0 ? url.slice(start) : url.slice(start, end)
  return url.length - path.length > SHARED_CHARACTERS_MAX ? ownText(path) : path
}
