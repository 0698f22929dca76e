import type { Metadata } from '../metadata/metadata.ts'
import type { Passwords } from './passwords.ts'
import { newPassword } from './secrets.ts'

/** The first account of an installation. */
export const FIRST_ADMIN = 'admin'

/** Who makes accounts when nobody has asked. */
const SERVER = { account: undefined, credential: undefined, address: 'server', requestId: 'start' }

/**
 * Makes the first account when there is none, with the given password or a new one.
 * Answers the password when it is a new one, for its owner to be told.
 */
export async function makeFirstAdmin(
  metadata: Metadata,
  passwords: Passwords,
  given: string | undefined,
  now: number,
): Promise<string | undefined> {
  if (metadata.accounts.list('user', '', 1).length > 0) return undefined
  const password = given ?? newPassword()
  await metadata.write('addAccount', {
    caller: SERVER,
    at: now,
    name: FIRST_ADMIN,
    kind: 'user',
    owner: undefined,
    passwordHash: await passwords.hashNew(password),
    isAdmin: true,
  })
  return given === undefined ? password : undefined
}
