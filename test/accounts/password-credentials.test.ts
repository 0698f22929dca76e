import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openAuth } from '../../src/accounts/authenticator.ts'
import { registryTokens, sessions } from '../../src/accounts/credentials.ts'
import { openMetadata } from '../../src/app/metadata.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { failureOf } from '../support/failure.ts'
import { CALLER } from '../support/writes.ts'

const at = Date.UTC(2026, 0, 1)
const ADDRESS = '192.0.2.1'
const act = { caller: CALLER, at, name: 'alice', kind: 'user' } as const

/** Opens an installation in which alice's password changes after a sign-in, right before its credential is added. */
async function open(folder: string) {
  const metadata = await openMetadata(folder, () => {})
  const auth = await openAuth(metadata, 'accounts', () => at)
  const passwordHash = await auth.passwords.hashNew('first-password')
  const changed = await auth.passwords.hashNew('second-password')
  await metadata.write('putAccount', { ...act, passwordHash, isAdmin: true })
  const write: Metadata['write'] = async (name, ...rest) => {
    if (name === 'addCredential')
      await metadata.write('changeAccount', { ...act, change: { passwordHash: changed } })
    return await metadata.write(name, ...rest)
  }
  const accountId = metadata.accounts.find('alice')?.id ?? 0
  const kinds = () => metadata.credentials.list(accountId, '', 10).map(({ kind }) => kind)
  return { metadata, auth, kinds, racing: { ...metadata, write } }
}

test('token: a password that changes while a refresh token is issued for it leaves no refresh token', async () => {
  await using folder = await temporaryFolder('password-credentials')
  const { metadata, auth, kinds, racing } = await open(folder.path)
  const { authenticator } = auth
  const issuer = registryTokens(racing, auth, () => at)
  const verify = () => authenticator.authenticatePassword('alice', 'first-password', ADDRESS)
  const refresh = { client: 'laptop', verify }
  const failure = failureOf(issuer.issue(await verify(), { scopes: [], address: ADDRESS, refresh }))
  expect(await failure).toMatchObject({ status: 401 })
  expect(kinds()).toEqual([])
  await metadata.close()
})

test('sign-in: a password that changes while a session begins leaves no session', async () => {
  await using folder = await temporaryFolder('password-credentials')
  const { metadata, auth, racing } = await open(folder.path)
  const { begin } = sessions(racing, auth.authenticator)
  expect(await failureOf(begin(act, 'alice', 'first-password'))).toMatchObject({ status: 401 })
  await metadata.close()
})
