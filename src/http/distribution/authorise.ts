import { type Access, isInScope } from '../../domain/access/access.ts'
import type { Caller } from '../../domain/access/caller.ts'
import { deedOf, denial } from '../../domain/access/denial.ts'
import { type RegistryError, registryError } from '../../oci/error.ts'
import type { Exchange } from './exchange.ts'
import type { Route, RouteAccess } from './routes.ts'

/** Called with the caller and what was denied, such as `push to team/app`. */
export type OnDenied = (caller: Caller, deed: string) => void

/**
 * Throws unless the identity has the access that the row needs: UNAUTHORIZED if another credential or a token with more
 * scope could help, DENIED if not. Runs before any lookup, so the response does not reveal what exists.
 */
export function authorise(access: Access, exchange: Exchange, route: Route, onDenied: OnDenied): void {
  const { identity, repository } = exchange
  if (access.isOpen) return
  if (route.access === 'base') {
    if (identity.account === undefined && identity.token === undefined) throw registryError('UNAUTHORIZED')
    return
  }
  if (route.access === 'catalog') {
    authoriseCatalog(exchange)
    return
  }
  if (!access.may(identity, route.access, repository)) {
    // Docker's engine retries endlessly on an error without a detail.
    const detail = { action: route.access }
    if (identity.account === undefined) throw registryError('UNAUTHORIZED', undefined, { detail })
    onDenied(exchange.caller(), deedOf(route.access, repository))
    const reason = denial(identity, route.access, repository)
    throw registryError('DENIED', reason, {
      detail,
      ...(isLookup(exchange) && { status: 404 }),
      ...(readsChallenge(exchange.request) && inChallenge(reason)),
    })
  }
  if (!isInScope(identity, route.access, repository)) throw insufficientScope()
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

/** Throws unless the caller has an account or may pull from at least one repository. */
function authoriseCatalog({ identity }: Exchange): void {
  if (identity.token !== undefined && !identity.token.catalog) throw insufficientScope()
  if (identity.account === undefined && identity.granted.isEmpty) throw registryError('UNAUTHORIZED')
}

function insufficientScope(): RegistryError {
  return registryError('UNAUTHORIZED', "the token's scope does not include this action", {
    detail: { error: 'insufficient_scope' },
    // For the challenge (RFC 6750, 3): podman then asks for another token.
    headers: { 'www-authenticate': 'error="insufficient_scope"' },
  })
}
