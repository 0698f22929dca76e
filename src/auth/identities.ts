import { LRUCache } from 'lru-cache'
import { type Identity, NOBODY, type Permissions } from '../domain/access.ts'
import type { Rule } from '../domain/rule.ts'
import type { AccountRow } from '../metadata/accounts/accounts.ts'
import type { CredentialRow } from '../metadata/accounts/credentials.ts'
import { subjectsOf } from '../metadata/accounts/grants.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { GrantedRules } from './granted-rules.ts'
import { addUp, eitherOf, Rules, rulesOfAny } from './rules.ts'

const REMEMBERED_MAX = 1000

/** What accounts may do. An identity is remembered until its account changes; what is granted is always as it is now. */
export class Identities {
  private readonly metadata: Metadata
  readonly granted: GrantedRules
  private readonly remembered = new LRUCache<string, Identity>({ max: REMEMBERED_MAX })
  private readonly nobody: Identity

  constructor(metadata: Metadata) {
    this.metadata = metadata
    this.granted = new GrantedRules(metadata)
    this.nobody = { ...NOBODY, granted: this.grantedTo(subjectsOf(undefined, [])) }
    metadata.onStale('accounts', ({ accounts }) => {
      const changed = new Set<number | undefined>(accounts)
      for (const [key, { accountId }] of this.remembered) {
        if (changed.has(accountId)) this.remembered.delete(key)
      }
    })
  }

  /** Somebody without a credential, with what is granted to anonymous. */
  anonymous(): Identity {
    return this.nobody
  }

  /** The identity of an account by a credential; undefined when it, or its owner, is gone or disabled. */
  find(accountId: number, credential?: CredentialRow): Identity | undefined {
    const row = this.metadata.accounts.findById(accountId)
    if (row === undefined || !this.isActive(row)) return undefined
    const key = `${accountId} ${credential?.id}`
    const known = this.remembered.get(key)
    if (known) return known
    const made: Identity = {
      ...NOBODY,
      account: row.name,
      accountId,
      credential: credential?.id,
      isAdmin: row.isAdmin,
      granted: this.permissionsOf(row),
      limits: [...this.limitOfOwner(row), ...limitOfScope(credential)],
    }
    this.remembered.set(key, made)
    return made
  }

  private isActive(row: AccountRow): boolean {
    if (row.disabledAt !== null) return false
    if (row.ownerId === null) return true
    const owner = this.metadata.accounts.findById(row.ownerId)
    return owner !== undefined && owner.disabledAt === null
  }

  /** The grants of an account and its groups; a user's own namespace is the user's. */
  private permissionsOf(row: AccountRow): Permissions {
    const granted = this.grantedTo(subjectsOf(row.id, this.metadata.accounts.groupsOf(row.id)))
    if (row.kind !== 'user') return granted
    return eitherOf(new Rules([{ pattern: `${row.name}/**`, role: 'admin' }]), granted)
  }

  private grantedTo(subjects: string[]): Permissions {
    return rulesOfAny(subjects, (subject) => this.granted.of(subject))
  }

  /** A robot may never do what its owner may not. */
  private limitOfOwner({ ownerId }: AccountRow): Permissions[] {
    const owner = ownerId === null ? undefined : this.metadata.accounts.findById(ownerId)
    return owner === undefined || owner.isAdmin ? [] : [this.permissionsOf(owner)]
  }
}

function limitOfScope(credential: CredentialRow | undefined): Permissions[] {
  if (credential === undefined || credential.scope === null) return []
  return [addUp(JSON.parse(credential.scope) as Rule[])]
}
