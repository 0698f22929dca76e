import type { Principal } from '../../domain/access/principal.ts'

/** The account, credential and address of a caller. */
interface Who {
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/** The same, as the API names it. */
interface ShownWho extends Omit<Who, 'credential'> {
  credentialId: string | null
}

/**
 * Returns the fields that the principal may see: account names need an account, and credentials, addresses and request
 * ids need a server admin.
 */
export function toWho(
  { account, credential, address, requestId }: Who,
  principal: Principal,
): Partial<ShownWho> {
  if (principal.isAdmin) return { account, credentialId: credential, address, requestId }
  return principal.account === undefined ? {} : { account }
}
