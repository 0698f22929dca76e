import { expect, test } from 'bun:test'
import { Rules } from '../../src/auth/rules.ts'
import { NOBODY } from '../../src/domain/access.ts'
import { denial } from '../../src/domain/denial.ts'
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

test('denials: a limit is named where the role would suffice', () => {
  const limited = { ...NOBODY, granted: admin, limits: [reader] }
  expect(denial({ ...limited, account: 'bob' }, 'push', APP)).toBe(
    "bob may not push to team/app: its token's scope does not allow it",
  )
  expect(denial({ ...limited, account: 'bob+ci' }, 'push', APP)).toBe(
    "bob+ci may not push to team/app: its owner or its token's scope does not allow it",
  )
})
