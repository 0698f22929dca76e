import { and, desc, eq, lte } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { accountAddress } from '../schema/account-schema.ts'
import { number, statement, text } from '../statement.ts'

/** How many of the latest addresses of an account are remembered, and for how long. */
const ADDRESSES_MAX = 50
const REMEMBERED_MILLISECONDS = 90 * 86_400_000

/** Reads of where accounts have signed in. */
export function addressReads(db: Db) {
  const last = statement(db, { accountId: number, address: text }, ({ accountId, address }) =>
    db
      .select({ lastAt: accountAddress.lastAt })
      .from(accountAddress)
      .where(and(eq(accountAddress.accountId, accountId), eq(accountAddress.address, address))),
  )
  return {
    /** Returns when an account last signed in from an address with its password, in milliseconds since 1970. */
    lastAt: (accountId: number, address: string): number | undefined =>
      last.get({ accountId, address })?.lastAt,
  }
}

/** Writes of where accounts have signed in. */
export function addressWrites(db: Db) {
  return {
    /** Records the address from which an account has signed in, and keeps only the latest ones. */
    addAddress({ accountId, address, at }: { accountId: number; address: string; at: number }): void {
      db.insert(accountAddress)
        .values({ accountId, address, lastAt: at })
        .onConflictDoUpdate({
          target: [accountAddress.accountId, accountAddress.address],
          set: { lastAt: at },
        })
        .run()
      const oldest = db
        .select({ lastAt: accountAddress.lastAt })
        .from(accountAddress)
        .where(eq(accountAddress.accountId, accountId))
        .orderBy(desc(accountAddress.lastAt))
        .limit(1)
        .offset(ADDRESSES_MAX)
        .get()
      const before = Math.max(oldest?.lastAt ?? 0, at - REMEMBERED_MILLISECONDS)
      db.delete(accountAddress)
        .where(and(eq(accountAddress.accountId, accountId), lte(accountAddress.lastAt, before)))
        .run()
    },
  }
}
