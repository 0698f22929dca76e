import { and, asc, eq, gt, inArray, isNull, lt, lte, or, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { Db } from '../database.ts'
import { deleteBy, insertInto, insertNew, selectBy, updateBy } from '../rows.ts'
import { account, credential, installation, signingKey } from '../schema/account-schema.ts'
import { number, statement, text } from '../statement.ts'
import type { RecordAct } from './audit.ts'

export type CredentialRow = typeof credential.$inferSelect
export type SigningKeyRow = typeof signingKey.$inferSelect

/** Reads of tokens and of the keys that sign. */
export function credentialReads(db: Db) {
  const byHash = selectBy(db, credential, 'hash')
  const byId = selectBy(db, credential, 'id')
  const facts = selectBy(db, installation, 'name')
  const tokens = statement(
    db,
    { accountId: number, last: text, limit: number },
    ({ accountId, last, limit }) =>
      db
        .select()
        .from(credential)
        .where(
          and(
            eq(credential.accountId, accountId),
            inArray(credential.kind, TOKEN_KINDS),
            gt(credential.id, last),
          ),
        )
        .orderBy(asc(credential.id))
        .limit(limit),
  )
  const keys = statement(db, {}, () =>
    db.select().from(signingKey).orderBy(asc(signingKey.createdAt), asc(signingKey.id)),
  )
  return {
    findByHash: (hash: Buffer): CredentialRow | undefined => byHash.get({ hash }),
    find: (id: string): CredentialRow | undefined => byId.get({ id }),

    /** Returns at most `limit` tokens of an account, including refresh tokens, after the id `last`. */
    list: (accountId: number, last: string, limit: number): CredentialRow[] =>
      tokens.all({ accountId, last, limit }),

    /** Returns the keys that verify tokens, oldest first. The last one signs. */
    signingKeys: (): SigningKeyRow[] => keys.all({}),

    /** Returns a fact of this installation. */
    fact: (name: string): string | undefined => facts.get({ name })?.value,
  }
}

/** A token in the list of an account. */
const TOKEN_KINDS = ['token', 'refresh'] as const

/** The maximum credentials of one account. Of those that each login creates, the most recently used stay. */
const CREDENTIALS_MAX = { token: 1000, refresh: 100, session: 100 }

/** A credential to add to the account `of`. */
export type NewCredential = Write &
  Omit<CredentialRow, 'accountId' | 'createdAt' | 'lastUsedAt'> & { of: string }

/** Writes of tokens, each for one call of the writer. */
export function credentialWrites(db: Db, recordAct: RecordAct) {
  const touch = updateBy(db, credential, ['lastUsedAt'], 'id')
  const accounts = selectBy(db, account, 'name')
  const byId = selectBy(db, credential, 'id')
  const insert = insertInto(db, credential)
  const remove = deleteBy(db, credential, 'id')
  const expired = [
    statement(db, { before: number }, ({ before }) =>
      db.delete(credential).where(lt(credential.expiresAt, before)),
    ),
    statement(db, { before: number }, ({ before }) =>
      db.delete(signingKey).where(lt(signingKey.endsAt, before)),
    ),
  ]
  const older = statement(
    db,
    { accountId: number, kind: text, kept: number },
    ({ accountId, kind, kept }) =>
      sql<{ id: string }>`select id from credential where account_id = ${accountId} and kind = ${kind}
        order by coalesce(last_used_at, created_at) desc, created_at desc limit -1 offset ${kept}`,
  )
  const makeRoom = (accountId: number, kind: CredentialRow['kind']): void => {
    const surplus = older.all({ accountId, kind, kept: CREDENTIALS_MAX[kind] - 1 })
    if (kind === 'token' && surplus.length > 0) {
      const message = `an account has at most ${CREDENTIALS_MAX.token} tokens: remove one first`
      throw registryError('CONFLICT', message)
    }
    for (const { id } of surplus) remove.run({ id })
  }
  return {
    addCredential(call: NewCredential) {
      const owner = accounts.get({ name: call.of })
      if (!owner) throw registryError('NOT_FOUND', `there is no account ${JSON.stringify(call.of)}`)
      const { id, kind, name, expiresAt, scope } = call
      const hash = Buffer.from(call.hash)
      makeRoom(owner.id, kind)
      insert.run({ id, accountId: owner.id, kind, name, hash, createdAt: call.at, expiresAt, scope })
      const detail = { id, expiresAt, name, scope }
      // Sign-ins are recorded apart from changes.
      if (kind === 'token')
        recordAct({ action: 'token.create', target: call.of, detail }, call.caller, call.at)
    },

    /** Revokes a credential of the account; `token` includes refresh tokens. Throws NOT_FOUND. */
    removeCredential(call: Write & Pick<NewCredential, 'id' | 'of' | 'kind'>) {
      const { kind, id } = call
      const owner = accounts.get({ name: call.of })
      const row = byId.get({ id })
      const isKind = kind === row?.kind || (kind === 'token' && row?.kind === 'refresh')
      if (!isKind || row.accountId !== owner?.id)
        throw registryError('NOT_FOUND', `${call.of} has no ${kind} ${id}`)
      remove.run({ id })
      const act = { action: 'token.delete', target: call.of, detail: { id } }
      if (kind === 'token') recordAct(act, call.caller, call.at)
      return { stale: 'accounts', accounts: [owner.id] } as const
    },

    /** Records when credentials were last used. */
    touchCredentials(call: { used: { id: string; at: number }[] }): void {
      for (const { id, at } of call.used) touch.run({ id, lastUsedAt: at })
    },

    /** Removes the tokens and keys that expired before a time. */
    removeExpired(call: { before: number }): void {
      for (const removal of expired) removal.run(call)
    },
  }
}

/** Writes of the facts and the keys of an installation. */
export function installationWrites(db: Db, recordAct: RecordAct) {
  const fact = insertNew(db, installation)
  const insert = insertInto(db, signingKey)
  const end = statement(db, { endsAt: number }, ({ endsAt }) =>
    db
      .update(signingKey)
      .set({ endsAt: sql`${endsAt}` })
      .where(or(isNull(signingKey.endsAt), gt(signingKey.endsAt, endsAt))),
  )
  const removeEnded = statement(db, { at: number }, ({ at }) =>
    db.delete(signingKey).where(lte(signingKey.endsAt, at)),
  )
  return {
    /** Adds the key that signs from now on. The others expire at the given time, or earlier if they already do. */
    addSigningKey(call: Write & { id: string; privateJwk: string; othersEndAt: number }) {
      const { id, privateJwk, othersEndAt, at, caller } = call
      end.run({ endsAt: othersEndAt })
      removeEnded.run({ at })
      insert.run({ id, privateJwk, createdAt: at })
      recordAct({ action: 'signing-key.create', target: id, detail: { othersEndAt } }, caller, at)
      return { stale: 'signing-keys' } as const
    },

    /** Stores a fact unless it exists already. */
    addFact: (call: { name: string; value: string }): void => fact.run(call),
  }
}
