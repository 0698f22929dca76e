import { expect, test } from 'bun:test'
import { denial, NOBODY } from '../../src/access/access.ts'
import { Rules } from '../../src/accounts/rules.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'

const APP = parseRepositoryName('team/app')
const reader = new Rules([{ pattern: 'team/**', role: 'reader' }])
const admin = new Rules([{ pattern: 'team/**', role: 'admin' }])

test('denials: they say who may not do what, and which role is missing', () => {
  const ci = { ...NOBODY, account: 'alice+ci', granted: reader }
  expect(denial(ci, 'push', APP)).toBe('alice+ci may not push to team/app: needs writer')
  expect(denial(ci, 'delete', APP)).toBe('alice+ci may not delete in team/app: needs admin')
  expect(denial({ ...NOBODY, account: 'bob' }, 'pull', APP)).toBe(
    'bob may not pull from team/app: needs reader',
  )
})

test('denials: each limit that does not allow the action is named', () => {
  const scope = { of: "its token's scope", permissions: reader }
  const owner = { of: 'its owner bob', permissions: reader }
  expect(denial({ ...NOBODY, account: 'bob', granted: admin, limits: [scope] }, 'push', APP)).toBe(
    "bob may not push to team/app: its token's scope needs writer",
  )
  const ci = { ...NOBODY, account: 'bob+ci', granted: reader, limits: [owner, scope] }
  expect(denial(ci, 'push', APP)).toBe(
    "bob+ci may not push to team/app: needs writer; its owner bob needs writer; its token's scope needs writer",
  )
  expect(
    denial({ ...ci, granted: admin, limits: [owner, { ...scope, permissions: admin }] }, 'push', APP),
  ).toBe('bob+ci may not push to team/app: its owner bob needs writer')
})
