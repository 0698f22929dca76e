import type { Metadata } from '../metadata/metadata.ts'
import type { RegistryError } from '../oci/error.ts'
import type { Passwords } from './passwords.ts'
import { newPassword } from './secrets.ts'

/** The first account of an installation. */
export const FIRST_ADMIN = 'admin'

/** Who makes accounts when nobody has asked. */
const SERVER = { account: undefined, credential: undefined, address: 'server', requestId: 'start' }

/**
 * Makes the first account when there is none, with the preset password, or with a new one, which `tell` is told before
 * the account is there: a crash between leaves no account whose password nobody knows.
 */
export async function makeFirstAdmin(
  metadata: Metadata,
  passwords: Passwords,
  preset: string | undefined,
  tell: (password: string) => void,
  now: number,
): Promise<void> {
  if (metadata.accounts.list('user', '', 1).length > 0) return
  const password = preset ?? newPassword()
  const passwordHash = await passwords.hashNew(password).catch((error: RegistryError) => {
    throw new Error(`the password of CAY_ADMIN_PASSWORD is refused: ${error.entries[0]?.message}`)
  })
  if (preset === undefined) tell(password)
  const account = { name: FIRST_ADMIN, kind: 'user', owner: undefined, passwordHash, isAdmin: true } as const
  await metadata.write('addAccount', { ...account, caller: SERVER, at: now })
}
