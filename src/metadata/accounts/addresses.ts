import { sql } from 'drizzle-orm'
import type { Db } from '../database.ts'
import { putInto, selectBy } from '../rows.ts'
import { accountAddress } from '../schema/account-schema.ts'
import { number, statement } from '../statement.ts'

/** How many of the latest addresses of an account are remembered, and for how long. */
const ADDRESSES_MAX = 50
const REMEMBERED_MILLISECONDS = 90 * 86_400_000

/** Reads of where accounts have signed in. */
export function addressReads(db: Db) {
  const last = selectBy(db, accountAddress, 'accountId', 'address')
  return {
    /** Returns when an account last signed in from an address with its password, in milliseconds since 1970. */
    lastAt: (accountId: number, address: string): number | undefined =>
      last.get({ accountId, address })?.lastAt,
  }
}

/** Writes of where accounts have signed in. */
export function addressWrites(db: Db) {
  const put = putInto(db, accountAddress)
  const trim = statement(
    db,
    { accountId: number, before: number, kept: number },
    ({ accountId, before, kept }) => sql`delete from account_address where account_id = ${accountId}
      and last_at <= max(${before}, coalesce((select last_at from account_address
        where account_id = ${accountId} order by last_at desc limit 1 offset ${kept}), 0))`,
  )
  return {
    /** Records the address from which an account has signed in, and keeps only the latest ones. */
    addAddress({ accountId, address, at }: { accountId: number; address: string; at: number }): void {
      put.run({ accountId, address, lastAt: at })
      trim.run({ accountId, before: at - REMEMBERED_MILLISECONDS, kept: ADDRESSES_MAX })
    },
  }
}
