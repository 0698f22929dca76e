import type { Asker } from '../../domain/asker.ts'

/** The account, credential and address of a caller. */
interface Who {
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/**
 * Returns the fields that the principal may see: account names need an account, and credentials, addresses and request
 * ids need a server admin.
 */
export function toWho({ account, credential, address, requestId }: Who, asker: Asker): Partial<Who> {
  if (asker.isAdmin) return { account, credential, address, requestId }
  return asker.account === undefined ? {} : { account }
}
