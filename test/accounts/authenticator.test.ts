import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Identity } from '../../src/access/access.ts'
import { Authenticator } from '../../src/accounts/authenticator.ts'
import { Passwords } from '../../src/accounts/passwords.ts'
import { Identities } from '../../src/accounts/rules.ts'
import { Attempts, Notices } from '../../src/accounts/sign-ins.ts'
import { SignedTokens } from '../../src/accounts/signed-tokens.ts'
import { openMetadata } from '../../src/app/metadata.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { failureOf } from '../support/failure.ts'
import { CALLER } from '../support/writes.ts'

const AT = Date.UTC(2026, 0, 1)

async function authenticatorOf(
  metadata: Metadata,
  verify: (password: string, hash: string) => Promise<boolean>,
) {
  return new Authenticator({
    metadata,
    identities: new Identities(metadata),
    passwords: new Passwords({ verify }),
    attempts: new Attempts(() => AT),
    notices: new Notices(metadata, () => AT),
    tokens: await SignedTokens.open(metadata, AT),
    now: () => AT,
    onSignIn: () => {},
  })
}

test('sign-in: a password that changes while it is being verified is refused', async () => {
  await using folder = await temporaryFolder('authenticator')
  const metadata = await openMetadata(folder.path, () => {})
  const act = { caller: CALLER, at: AT, name: 'alice', kind: 'user' } as const
  await metadata.write('putAccount', { ...act, passwordHash: 'one', isAdmin: true })
  const gate = Promise.withResolvers<void>()
  const authenticator = await authenticatorOf(metadata, async (password, hash) => {
    await gate.promise
    return password === hash
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

test('sign-in: after memory was released, a client keeps its grants, and new ones reach it', async () => {
  await using folder = await temporaryFolder('authenticator')
  const metadata = await openMetadata(folder.path, () => {})
  const act = { caller: CALLER, at: AT }
  await metadata.write('putAccount', {
    ...act,
    name: 'alice',
    kind: 'user',
    passwordHash: 'one',
    isAdmin: false,
  })
  const grant = async (pattern: string) => {
    const limits = { namespaceMax: 10, subjectMax: 10 }
    const subject = { account: 'alice' }
    await metadata.write('putGrant', {
      ...act,
      subject,
      pattern,
      role: 'reader',
      limits,
      mayBeUnknown: false,
    })
  }
  const authenticator = await authenticatorOf(metadata, async (password, hash) => password === hash)
  const signIn = () => authenticator.authenticatePassword('alice', 'one', '192.0.2.1')
  const pulls = ({ granted }: Identity) =>
    ['alice/own', 'first/app', 'later/app'].filter((name) =>
      granted.allows('pull', parseRepositoryName(name)),
    )
  await grant('first/**')
  const before = await signIn()
  expect(pulls(before)).toEqual(['alice/own', 'first/app'])
  authenticator.releaseMemory()
  expect(pulls(before)).toEqual(['alice/own', 'first/app'])
  await grant('later/**')
  expect(pulls(before)).toEqual(['alice/own', 'first/app', 'later/app'])
  expect(pulls(await signIn())).toEqual(['alice/own', 'first/app', 'later/app'])
  await metadata.close()
})
