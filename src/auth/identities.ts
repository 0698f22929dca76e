import { LRUCache } from 'lru-cache'
import { type Action, type Identity, NOBODY, type Permission } from '../domain/access.ts'
import { parseRepositoryPattern } from '../domain/repository-pattern.ts'
import type { AccountRow } from '../metadata/accounts/accounts.ts'
import type { CredentialRow } from '../metadata/accounts/credentials.ts'
import type { Role, Rule } from '../metadata/accounts/grants.ts'
import type { Metadata } from '../metadata/metadata.ts'

/** What a role allows. */
export const ROLE_ACTIONS: Record<Role, ReadonlySet<Action>> = {
  reader: new Set<Action>(['pull']),
  writer: new Set<Action>(['pull', 'push']),
  admin: new Set<Action>(['pull', 'push', 'delete']),
}

const REMEMBERED_MAX = 1000

/** What accounts may do, remembered until any account or grant changes. */
export class Identities {
  private readonly metadata: Metadata
  private readonly remembered = new LRUCache<string, Identity>({ max: REMEMBERED_MAX })

  constructor(metadata: Metadata) {
    this.metadata = metadata
    metadata.onStale('accounts', () => this.remembered.clear())
  }

  /** Somebody without a credential, with what is granted to anonymous. */
  anonymous(): Identity {
    return this.remember('anonymous', () => ({
      ...NOBODY,
      granted: permissionsOf(this.metadata.grants.rulesOf(undefined, [])),
    }))
  }

  /** The identity of an account by a credential; undefined when it, or its owner, is gone or disabled. */
  find(accountId: number, credential?: CredentialRow): Identity | undefined {
    const row = this.metadata.accounts.findById(accountId)
    if (row === undefined || !this.isActive(row)) return undefined
    return this.remember(`${accountId} ${credential?.id}`, () => ({
      ...NOBODY,
      account: row.name,
      credential: credential?.id,
      isAdmin: row.isAdmin,
      granted: permissionsOf(this.rulesOf(row)),
      limits: [...this.limitOfOwner(row), ...limitOfScope(credential)],
    }))
  }

  private isActive(row: AccountRow): boolean {
    if (row.disabledAt !== null) return false
    if (row.ownerId === null) return true
    const owner = this.metadata.accounts.findById(row.ownerId)
    return owner !== undefined && owner.disabledAt === null
  }

  /** The grants of an account and its groups; a user's own namespace is the user's. */
  private rulesOf(row: AccountRow): Rule[] {
    const granted = this.metadata.grants.rulesOf(row.id, this.metadata.accounts.groupsOf(row.id))
    return row.kind === 'user' ? [...granted, { pattern: `${row.name}/**`, role: 'admin' }] : granted
  }

  /** A robot may never do what its owner may not. */
  private limitOfOwner({ ownerId }: AccountRow): Permission[][] {
    const owner = ownerId === null ? undefined : this.metadata.accounts.findById(ownerId)
    return owner === undefined || owner.isAdmin ? [] : [permissionsOf(this.rulesOf(owner))]
  }

  private remember(key: string, make: () => Identity): Identity {
    const known = this.remembered.get(key)
    if (known) return known
    const made = make()
    this.remembered.set(key, made)
    return made
  }
}

function limitOfScope(credential: CredentialRow | undefined): Permission[][] {
  if (credential === undefined || credential.scope === null) return []
  return [permissionsOf(JSON.parse(credential.scope) as Rule[])]
}

function permissionsOf(rules: Rule[]): Permission[] {
  return rules.map(({ pattern, role }) => ({
    pattern: parseRepositoryPattern(pattern),
    actions: ROLE_ACTIONS[role],
  }))
}
