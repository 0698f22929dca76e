import type { ManifestPulls } from '../../core/pulls/manifest-pulls.ts'
import type { Identity } from '../../domain/access.ts'
import type { Caller } from '../../domain/caller.ts'
import type { Registry } from '../../domain/registry.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { BodyReader, BodySource } from '../request/body-reader.ts'
import type { PathKind, V2Path } from './path.ts'

/** One request, as its handler sees it. */
export interface Exchange<K extends PathKind = PathKind> {
  request: Request
  path: Extract<V2Path, { kind: K }>
  registry: Registry
  /** Its manifests, as clients can read them. */
  pulls: ManifestPulls
  /** The full name of the repository that the path addresses; `path.name` is what the client wrote. */
  repository: RepositoryName
  query: URLSearchParams
  /** Who asks, without where from: enough for every question of access. */
  identity: Identity
  /** Who asks, for what is written. */
  caller(): Caller
  limits: V2Limits
  /** Reads the bodies of manifests. */
  bodies: BodyReader
  /** The request, as whoever reads its body has to know it. */
  source(): BodySource
  /** Bytes of manifests that came and went, which their handlers add to. */
  traffic: { received: number; sent: number }
  /** Told of each body of a blob that is sent, with its size in bytes, and whether it comes from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

export interface V2Limits {
  manifestBytesMax: number
  /** Entries of one page of tags or repositories. */
  pageMax: number
  /** Tags of one push by digest. */
  tagsPerPushMax: number
}

/** The query of a URL; an empty one costs nothing. */
export function queryOf(url: string): URLSearchParams {
  const at = url.indexOf('?')
  return at < 0 ? EMPTY : new URLSearchParams(url.slice(at + 1))
}

const EMPTY: URLSearchParams = new URLSearchParams()

/** The path of an absolute URL, without its query, not decoded. */
export function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  const end = url.indexOf('?', start)
  return end < 0 ? url.slice(start) : url.slice(start, end)
}
