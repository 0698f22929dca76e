import { and, asc, desc, eq, gt, inArray, isNull, lt, lte, or, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { Db } from '../database.ts'
import { account, credential, installation, signingKey } from '../schema/account-schema.ts'
import { bytes, number, statement, text } from '../statement.ts'
import type { RecordAct } from './audit.ts'

export type CredentialRow = typeof credential.$inferSelect
export type SigningKeyRow = typeof signingKey.$inferSelect

/** Reads of tokens and of the keys that sign. */
export function credentialReads(db: Db) {
  const byHash = statement(db, { hash: bytes }, ({ hash }) =>
    db.select().from(credential).where(eq(credential.hash, hash)),
  )
  const byId = statement(db, { id: text }, ({ id }) =>
    db.select().from(credential).where(eq(credential.id, id)),
  )
  return {
    findByHash: (hash: Buffer): CredentialRow | undefined => byHash.get({ hash }),
    find: (id: string): CredentialRow | undefined => byId.get({ id }),

    /** Returns at most `limit` tokens of an account, including refresh tokens, after the id `last`. */
    list: (accountId: number, last: string, limit: number): CredentialRow[] =>
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
        .limit(limit)
        .all(),

    /** Returns the keys that verify tokens, oldest first. The last one signs. */
    signingKeys: (): SigningKeyRow[] =>
      db.select().from(signingKey).orderBy(asc(signingKey.createdAt), asc(signingKey.id)).all(),

    /** Returns a fact of this installation. */
    fact: (name: string): string | undefined =>
      db.select().from(installation).where(eq(installation.name, name)).get()?.value,
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
  const touch = statement(db, { id: text, at: number }, ({ id, at }) =>
    db
      .update(credential)
      .set({ lastUsedAt: sql`${at}` })
      .where(eq(credential.id, id)),
  )
  return {
    addCredential(call: NewCredential) {
      const owner = db.select().from(account).where(eq(account.name, call.of)).get()
      if (!owner) throw registryError('NOT_FOUND', `there is no account ${JSON.stringify(call.of)}`)
      const { id, kind, name, expiresAt, scope } = call
      const hash = Buffer.from(call.hash)
      makeRoom(db, owner.id, kind)
      db.insert(credential)
        .values({ id, accountId: owner.id, kind, name, hash, createdAt: call.at, expiresAt, scope })
        .run()
      const detail = { id, expiresAt, name, scope }
      // Sign-ins are recorded apart from changes.
      if (kind === 'token')
        recordAct({ action: 'token.create', target: call.of, detail }, call.caller, call.at)
    },

    /** Revokes a credential of the account; `token` includes refresh tokens. Throws NOT_FOUND. */
    removeCredential(call: Write & Pick<NewCredential, 'id' | 'of' | 'kind'>) {
      const { kind } = call
      const owner = db.select().from(account).where(eq(account.name, call.of)).get()
      const removed = db
        .delete(credential)
        .where(
          and(
            eq(credential.id, call.id),
            inArray(credential.kind, kind === 'token' ? TOKEN_KINDS : [kind]),
            eq(credential.accountId, owner?.id ?? 0),
          ),
        )
        .returning({ id: credential.id })
        .all()
      if (removed.length === 0) throw registryError('NOT_FOUND', `${call.of} has no ${kind} ${call.id}`)
      const act = { action: 'token.delete', target: call.of, detail: { id: call.id } }
      if (kind === 'token') recordAct(act, call.caller, call.at)
      return { stale: 'accounts', accounts: owner === undefined ? [] : [owner.id] } as const
    },

    /** Records when credentials were last used. */
    touchCredentials(call: { used: { id: string; at: number }[] }): void {
      for (const { id, at } of call.used) touch.run({ id, at })
    },

    /** Removes the tokens and keys that expired before a time. */
    removeExpired(call: { before: number }): void {
      db.delete(credential).where(lt(credential.expiresAt, call.before)).run()
      db.delete(signingKey).where(lt(signingKey.endsAt, call.before)).run()
    },
  }
}

/** Writes of the facts and the keys of an installation. */
export function installationWrites(db: Db, recordAct: RecordAct) {
  return {
    /** Adds the key that signs from now on. The others expire at the given time, or earlier if they already do. */
    addSigningKey(call: Write & { id: string; privateJwk: string; othersEndAt: number }) {
      const { id, privateJwk, othersEndAt, at, caller } = call
      db.update(signingKey)
        .set({ endsAt: othersEndAt })
        .where(or(isNull(signingKey.endsAt), gt(signingKey.endsAt, othersEndAt)))
        .run()
      db.delete(signingKey).where(lte(signingKey.endsAt, at)).run()
      db.insert(signingKey).values({ id, privateJwk, createdAt: at }).run()
      recordAct({ action: 'signing-key.create', target: id, detail: { othersEndAt } }, caller, at)
      return { stale: 'signing-keys' } as const
    },

    /** Stores a fact unless it exists already. */
    addFact(call: { name: string; value: string }): void {
      db.insert(installation).values(call).onConflictDoNothing().run()
    },
  }
}

function makeRoom(db: Db, accountId: number, kind: CredentialRow['kind']): void {
  const older = db
    .select({ id: credential.id })
    .from(credential)
    .where(and(eq(credential.accountId, accountId), eq(credential.kind, kind)))
    .orderBy(
      desc(sql`coalesce(${credential.lastUsedAt}, ${credential.createdAt})`),
      desc(credential.createdAt),
    )
    .limit(Number.MAX_SAFE_INTEGER)
    .offset(CREDENTIALS_MAX[kind] - 1)
    .all()
    .map(({ id }) => id)
  if (older.length === 0) return
  if (kind === 'token') {
    throw registryError(
      'CONFLICT',
      `an account has at most ${CREDENTIALS_MAX.token} tokens: remove one first`,
    )
  }
  db.delete(credential).where(inArray(credential.id, older)).run()
}
