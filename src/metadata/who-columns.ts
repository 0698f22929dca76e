import type { Caller } from '../domain/caller.ts'

/** The columns that say who did it. */
export function whoColumns(caller: Caller) {
  return {
    account: caller.account ?? null,
    credential: caller.credential ?? null,
    address: caller.address,
    requestId: caller.requestId,
  }
}
