import { expect, test } from 'bun:test'
import { NOBODY } from '../../src/access/access.ts'
import { grantedAccess } from '../../src/accounts/authenticator.ts'
import { grantScopes } from '../../src/accounts/credentials.ts'
import { Rules } from '../../src/accounts/rules.ts'

const alice = {
  ...NOBODY,
  account: 'alice',
  granted: new Rules([{ pattern: 'alice/**', role: 'writer' }]),
}
const ask = (...scopes: string[]) =>
  grantScopes(grantedAccess, alice, scopes).map(({ name, actions }) => `${name}:${actions.join(',')}`)

test.each<[string[], string[]]>([
  [['repository:alice/app:pull,push'], ['alice/app:pull,push']],
  [
    ['repository:alice/a:pull', 'repository:alice/b:push'],
    ['alice/a:pull', 'alice/b:push'],
  ],
  [['repository:alice/a:pull repository:bob/b:pull'], ['alice/a:pull', 'bob/b:']],
  [['repository:alice/app:*'], ['alice/app:pull,push']],
  [['repository(plugin):alice/app:pull'], ['alice/app:pull']],
  [['repository:alice/app:pull,push,delete,other'], ['alice/app:pull,push']],
  [['registry:catalog:*'], ['catalog:*']],
  [['', 'nonsense', 'repository:alice/app', 'registry:other:*', 'repository:UPPER:pull'], []],
  [['repository:a"b:pull', 'repository:alice/../bob:pull'], []],
])('token scopes: %j grants %j', (scopes, given) => expect(ask(...scopes)).toEqual(given))

test('token scopes: a request may have at most a hundred', () => {
  const many = Array.from({ length: 200 }, (_, at) => `repository:alice/a${at}:pull`)
  expect(ask(many.join(' ')).length).toBe(100)
})
