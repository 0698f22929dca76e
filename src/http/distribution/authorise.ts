import type { Audit } from '../../core/accounts/audit.ts'
import type { Access } from '../../domain/access/access.ts'
import { decide, decideCatalog, deedOf, denial } from '../../domain/access/decision.ts'
import type { Upstream } from '../../domain/address.ts'
import { type RegistryError, registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Exchange } from './exchange.ts'
import type { Route, RouteAccess } from './routes.ts'

/** What `authorise` needs. */
export interface Authorising {
  access: Access
  accounts: { audit: Pick<Audit, 'noteRefusal'> }
  /** The upstream that this listener mirrors; undefined on the main listener. */
  mirrorOf: Upstream | undefined
}

/**
 * Throws unless the identity has the access that the row needs: UNAUTHORIZED if another credential or a token with more
 * scope could help, DENIED if not. Runs before any lookup, so the response does not reveal what exists.
 */
export function authorise(
  { access, accounts, mirrorOf }: Authorising,
  exchange: Exchange,
  { access: needed }: Route,
): void {
  const { identity, repository } = exchange
  if (needed === 'base') {
    const isAnonymous = identity.account === undefined && identity.token === undefined
    if (isAnonymous && !access.isOpen && mirrorOf === undefined) throw registryError('UNAUTHORIZED')
    return
  }
  if (needed === 'catalog') {
    const decision = decideCatalog(access, identity)
    if (decision === 'allowed') return
    throw decision === 'out-of-scope' ? insufficientScope() : registryError('UNAUTHORIZED')
  }
  const decision = decide(access, identity, needed, repository)
  if (decision === 'allowed') return
  if (decision === 'out-of-scope') throw insufficientScope()
  // Docker's engine retries endlessly on an error without a detail.
  const detail = { action: needed }
  if (mirrorOf !== undefined) throw registryError('DENIED', notMirrored(mirrorOf, repository), { detail })
  if (decision === 'unauthenticated') throw registryError('UNAUTHORIZED', undefined, { detail })
  accounts.audit.noteRefusal(exchange.caller(), deedOf(needed, repository))
  const reason = denial(identity, needed, repository)
  throw registryError('DENIED', reason, {
    detail,
    ...(isLookup(exchange) && { status: 404 }),
    ...(readsChallenge(exchange.request) && inChallenge(reason)),
  })
}

/** A mirror never asks for credentials: Docker would send the user's password for the upstream. */
function notMirrored({ name }: Upstream, repository: RepositoryName): string {
  return (
    `this mirror of ${name} serves what anonymous may pull, and ${repository} is not granted: ` +
    `cay grant create anonymous '${name}/**' reader`
  )
}

/**
 * Reports whether a client asks by digest whether content exists, as helm and oras do before a push. A response to
 * HEAD has no room for a reason, and with 403 they would stop there. With 404 they push, and the denial of the push
 * says what is missing.
 */
function isLookup({ request: { method }, path }: Exchange): boolean {
  if (method !== 'HEAD') return false
  return path.kind === 'blob' || (path.kind === 'manifest' && path.reference.digest !== undefined)
}

/** Reports whether the client uses containerd's library, as Kubernetes and BuildKit do. It cannot repeat a PUT. */
function readsChallenge({ method, headers }: Request): boolean {
  return method !== 'PUT' && /^(?:containerd|buildkit|nerdctl)\//.test(headers.get('user-agent') ?? '')
}

/**
 * Puts a reason into the challenge (RFC 6750, 3), because containerd shows neither the body of an error nor anything of a
 * response to HEAD. It gets another token, and shows the reason when the same request fails again.
 */
function inChallenge(reason: string) {
  return { status: 401, headers: { 'www-authenticate': `error="${reason}"` } }
}

/** Returns the scope for the challenge: the one that a token needs for this request. */
export function scopeOf(
  access: RouteAccess | undefined,
  name: string | undefined,
  query: URLSearchParams,
): string {
  if (access === 'catalog') return 'registry:catalog:*'
  if (access === undefined || access === 'base' || name === undefined) return ''
  const actions = { pull: 'pull', push: 'pull,push', delete: 'pull,push,delete' }[access]
  const from = query.get('mount') === null ? null : query.get('from')
  const source = from === null || !/^[a-z0-9._/-]{1,255}$/.test(from) ? '' : ` repository:${from}:pull`
  return `repository:${name}:${actions}${source}`
}

function insufficientScope(): RegistryError {
  return registryError('UNAUTHORIZED', "the token's scope does not include this action", {
    detail: { error: 'insufficient_scope' },
    // For the challenge (RFC 6750, 3): podman then asks for another token.
    headers: { 'www-authenticate': 'error="insufficient_scope"' },
  })
}
