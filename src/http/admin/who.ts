import type { Asker } from '../../domain/asker.ts'

/** Who did something, and from where. */
interface Who {
  account: string | null
  credential: string | null
  address: string
  requestId: string
}

/**
 * As much of it as the asker may know: names of accounts are for those who have one, and where a request came from is
 * for server admins.
 */
export function toWho({ account, credential, address, requestId }: Who, asker: Asker): Partial<Who> {
  if (asker.isAdmin) return { account, credential, address, requestId }
  return asker.account === undefined ? {} : { account }
}
