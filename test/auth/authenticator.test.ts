import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { Attempts } from '../../src/auth/attempts.ts'
import { Authenticator } from '../../src/auth/authenticator.ts'
import { Identities } from '../../src/auth/identities.ts'
import { Notices } from '../../src/auth/notices.ts'
import { Passwords } from '../../src/auth/passwords.ts'
import { SignedTokens } from '../../src/auth/signed-tokens.ts'
import { openMetadata } from '../../src/metadata/metadata.ts'
import { failureOf } from '../support/failure.ts'
import { CALLER } from '../support/writes.ts'

test('sign-in: a password that changes while it is being verified is refused', async () => {
  const at = Date.UTC(2026, 0, 1)
  await using folder = await temporaryFolder('authenticator')
  const metadata = await openMetadata(folder.path, () => {})
  const act = { caller: CALLER, at, name: 'alice', kind: 'user' } as const
  await metadata.write('putAccount', { ...act, passwordHash: 'one', isAdmin: true })
  const gate = Promise.withResolvers<void>()
  const verify = async (password: string, hash: string) => {
    await gate.promise
    return password === hash
  }
  const authenticator = new Authenticator({
    metadata,
    identities: new Identities(metadata),
    passwords: new Passwords({ verify }),
    attempts: new Attempts(() => at),
    notices: new Notices(metadata, () => at),
    tokens: await SignedTokens.open(metadata, at),
    now: () => at,
    onSignIn: () => {},
  })
  const signingIn = authenticator.authenticatePassword('alice', 'one', '192.0.2.1')
  const failure = failureOf(signingIn)
  await metadata.write('changeAccount', { ...act, change: { passwordHash: 'two' } })
  gate.resolve()
  expect(await failure).toMatchObject({ status: 401 })
  expect(await authenticator.authenticatePassword('alice', 'two', '192.0.2.1')).toMatchObject({
    account: 'alice',
  })
  await metadata.close()
})
