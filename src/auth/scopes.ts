import type { Access, Action, Identity } from '../domain/access/access.ts'
import { tryParseRepositoryName } from '../oci/reference.ts'
import type { TokenAccess } from './signed-tokens.ts'

/** How many scopes one token request may have. */
const SCOPES_MAX = 100

const ACTIONS: readonly Action[] = ['pull', 'push', 'delete']

/**
 * Reduces the scopes that a client requests (repeated, or separated by spaces) to those that the identity is allowed.
 * Scopes of other types and malformed ones are dropped. Never throws.
 */
export function grantScopes(access: Access, identity: Identity, scopes: string[]): TokenAccess[] {
  const asked = scopes.flatMap((scope) => scope.split(' ')).filter((scope) => scope !== '')
  return asked.slice(0, SCOPES_MAX).flatMap((scope) => {
    const [, type = '', name = '', actions = ''] =
      /^([a-z]+)(?:\([a-z]*\))?:(.+):([a-z*,]*)$/.exec(scope) ?? []
    if (type === 'registry' && name === 'catalog') return [{ type, name, actions: ['*'] }]
    const repository = type === 'repository' ? tryParseRepositoryName(name) : undefined
    if (repository === undefined) return []
    const wanted = new Set(actions.split(','))
    const granted = ACTIONS.filter(
      (action) => (wanted.has(action) || wanted.has('*')) && access.may(identity, action, repository),
    )
    return [{ type, name: repository, actions: granted }]
  })
}
