import { type Access, isInScope } from '../../domain/access.ts'
import { denial } from '../../domain/denial.ts'
import { type RegistryError, registryError } from '../../oci/error.ts'
import type { Exchange } from './exchange.ts'
import type { Route, RouteAccess } from './routes.ts'

/**
 * Throws unless the identity has the access that the row needs: UNAUTHORIZED if another credential or a token with more
 * scope could help, DENIED if not. Runs before any lookup, so the response does not reveal what exists.
 */
export function authorise(access: Access, exchange: Exchange, route: Route): void {
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
    throw registryError('DENIED', denial(identity, route.access, repository), { detail })
  }
  if (!isInScope(identity, route.access, repository)) throw insufficientScope()
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
