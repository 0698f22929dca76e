import { newSecret } from '../../auth/secrets.ts'
import type { Write } from '../../domain/access/caller.ts'
import type { Rule } from '../../domain/access/rule.ts'
import { parseRepositoryPattern } from '../../domain/repository-pattern.ts'
import type { CredentialRow } from '../../metadata/accounts/credentials.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

const DAY_MILLISECONDS = 86_400_000

/** A token that an account signs in with. Only a hash of its secret is stored. Times are milliseconds since 1970. */
export interface Token {
  id: string
  /** `refresh`: a client got it from /token for a password, and gets short-lived tokens with it. */
  kind: 'token' | 'refresh'
  name: string
  createdAt: number
  expiresAt: number | null
  lastUsedAt: number | null
  /** Limits what the token may do. Null means everything that the account may do. */
  scope: Rule[] | null
}

export interface NewToken {
  name: string
  expiresInDays?: number | undefined
  scope?: Rule[] | undefined
}

/** The tokens of accounts. */
export interface Tokens {
  /** Lists the tokens of an account, with its refresh tokens. Throws NOT_FOUND. */
  list(account: string, query: PageQuery): Promise<ListPage<Token>>
  /** Returns a token of an account. Throws NOT_FOUND. */
  get(account: string, id: string): Token
  /**
   * Creates a token and returns it with its secret, which is never shown again. Throws NOT_FOUND, NAME_INVALID for a bad
   * pattern, and CONFLICT when the account has too many tokens.
   */
  add(act: Write, account: string, token: NewToken): Promise<Token & { secret: string }>
  /** Revokes a token, which takes effect immediately. Throws NOT_FOUND. */
  delete(act: Write, account: string, id: string): Promise<void>
}

const kind = 'token'

export function tokens(metadata: Metadata): Tokens {
  return {
    list(account, query) {
      const row = metadata.accounts.find(account)
      if (row === undefined) throw registryError('NOT_FOUND', `there is no account ${account}`)
      const read = (limit: number) =>
        metadata.credentials.list(row.id, query.cursor ?? '', limit).map(toToken)
      return readPage(query, read, ({ id }) => id)
    },

    get(account, id) {
      const owner = metadata.accounts.find(account)
      const row = metadata.credentials.find(id)
      if (row === undefined || row.accountId !== owner?.id || row.kind === 'session')
        throw registryError('NOT_FOUND', `${account} has no token ${id}`)
      return toToken(row)
    },

    async add(act, account, { name, expiresInDays, scope }) {
      for (const { pattern } of scope ?? []) parseRepositoryPattern(pattern)
      const { secret, hash } = newSecret()
      const id = crypto.randomUUID()
      const expiresAt = expiresInDays === undefined ? null : act.at + expiresInDays * DAY_MILLISECONDS
      const stored = scope === undefined ? null : JSON.stringify(scope)
      await metadata.write('addCredential', {
        ...act,
        of: account,
        id,
        kind,
        name,
        hash,
        expiresAt,
        scope: stored,
      })
      return { id, kind, name, createdAt: act.at, expiresAt, lastUsedAt: null, scope: scope ?? null, secret }
    },

    async delete(act, account, id) {
      await metadata.write('removeCredential', { ...act, of: account, id, kind })
    },
  }
}

function toToken({ scope, kind, ...row }: CredentialRow): Token {
  return {
    ...row,
    kind: kind === 'refresh' ? kind : 'token',
    scope: scope === null ? null : JSON.parse(scope),
  }
}
