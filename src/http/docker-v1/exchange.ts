import type { AccountServices } from '../../core/accounts/account-services.ts'
import type { RepositoryService } from '../../core/content/repositories.ts'
import type { V1Image, V1Images } from '../../core/pulls/v1-images.ts'
import type { Access, Identity } from '../../domain/access/access.ts'
import type { Blobs, UsageCounter } from '../../domain/registry.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Bodies } from '../request/bodies.ts'
import type { BodySource } from '../request/body-reader.ts'
import type { V1Path, V1PathKind } from './path.ts'
import type { Sessions } from './sessions.ts'

/** What the handlers of /v1 depend on. */
export interface V1Context {
  images: V1Images
  blobs: Blobs
  usage: UsageCounter
  repositories: RepositoryService
  accounts: AccountServices
  access: Access
  sessions: Sessions
  bodies: Bodies
  sourceOf: (request: Request) => BodySource
  /** Milliseconds since 1970. */
  now: () => number
  addressOf: (request: Request) => string
  /** Returns the scheme and host that the client used to reach this registry. */
  originOf: (request: Request) => string
  /** Called for each blob body that is sent, with its size in bytes and whether it is sent from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

/** A request with any path. */
export interface V1Request {
  context: V1Context
  request: Request
  query: URLSearchParams
  identity: Identity
  /** What access was checked for: the repository in the path, or the one of the image in the path. */
  target: V1Target
  requestId: string
}

/** A request, as its handler sees it. */
export interface V1Exchange<K extends V1PathKind = V1PathKind> extends V1Request {
  path: Extract<V1Path, { kind: K }>
}

export interface V1Target {
  repository: RepositoryName
  /** The image, for paths with an image id. */
  image: V1Image | undefined
}
