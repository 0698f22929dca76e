import type { NewCredential } from '../../metadata/accounts/credentials.ts'
import type { Metadata } from '../../metadata/metadata.ts'

/**
 * Adds a credential that a client gets for its password. A password that changes between the sign-in and this write has
 * already ended the credentials of the old one, but not this one. So the password is verified again afterwards.
 *
 * @param verify throws if the password is wrong by now
 */
export async function addForPassword(
  metadata: Metadata,
  credential: NewCredential & { kind: 'session' | 'refresh' },
  verify: () => Promise<unknown>,
): Promise<void> {
  await metadata.write('addCredential', credential)
  try {
    await verify()
  } catch (error) {
    // The change may have removed it. Otherwise, if this fails, nobody knows its secret.
    await metadata.write('removeCredential', credential).catch(() => {})
    throw error
  }
}
