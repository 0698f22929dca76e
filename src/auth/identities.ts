import { LRUCache } from 'lru-cache'
import { type Identity, type Limit, NOBODY, type Permissions } from '../domain/access/access.ts'
import type { Rule } from '../domain/access/rule.ts'
import type { AccountRow } from '../metadata/accounts/accounts.ts'
import type { CredentialRow } from '../metadata/accounts/credentials.ts'
import { subjectsOf } from '../metadata/accounts/grants.ts'
import type { Metadata } from '../metadata/metadata.ts'
import { GrantedRules } from './granted-rules.ts'
import { addUp, eitherOf, Rules, rulesOfAny } from './rules.ts'

const REMEMBERED_MAX = 1000

/** Makes identities of accounts. They are cached until the account changes; grants are always read as of now. */
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

  /** Returns the anonymous identity, with what is granted to `anonymous`. */
  anonymous(): Identity {
    return this.nobody
  }

  /** Returns an account's identity, or undefined when the account or its owner is deleted or disabled. */
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

  /** Drops cached identities and grants. They are read again when needed. */
  releaseMemory(): void {
    this.remembered.clear()
    this.granted.releaseMemory()
  }

  private isActive(row: AccountRow): boolean {
    if (row.disabledAt !== null) return false
    if (row.ownerId === null) return true
    const owner = this.metadata.accounts.findById(row.ownerId)
    return owner !== undefined && owner.disabledAt === null
  }

  /** Returns the permissions of an account and its groups. A user has full access to their own namespace. */
  private permissionsOf(row: AccountRow): Permissions {
    const granted = this.grantedTo(subjectsOf(row.id, this.metadata.accounts.groupsOf(row.id)))
    if (row.kind !== 'user') return granted
    return eitherOf(new Rules([{ pattern: `${row.name}/**`, role: 'admin' }]), granted)
  }

  private grantedTo(subjects: string[]): Permissions {
    return rulesOfAny(subjects, (subject) => this.granted.of(subject))
  }

  /** Limits a robot to what its owner may do. */
  private limitOfOwner({ ownerId }: AccountRow): Limit[] {
    const owner = ownerId === null ? undefined : this.metadata.accounts.findById(ownerId)
    if (owner === undefined || owner.isAdmin) return []
    return [{ of: `its owner ${owner.name}`, permissions: this.permissionsOf(owner) }]
  }
}

function limitOfScope(credential: CredentialRow | undefined): Limit[] {
  if (credential === undefined || credential.scope === null) return []
  return [{ of: "its token's scope", permissions: addUp(JSON.parse(credential.scope) as Rule[]) }]
}
