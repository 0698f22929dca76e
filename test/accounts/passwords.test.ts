import { expect, test } from 'bun:test'
import { Passwords } from '../../src/accounts/passwords.ts'
import { failureOf } from '../support/failure.ts'

const bcrypt = `$2y$05$${'a'.repeat(53)}`

test('passwords: each attempt costs one argon2id, and one bcrypt of each cost that some account has', async () => {
  const tried: string[] = []
  const passwords = new Passwords({
    verify: async (_, hash) => {
      tried.push(hash.split('$').slice(1, 3).join(' '))
      return hash === bcrypt
    },
    bcryptCosts: () => ['05', '10'],
  })
  const costs: string[][] = []
  for (const hash of [undefined, '$argon2id$v=19$m=19456,t=2,p=1$other', bcrypt]) {
    expect(await passwords.verify('x', hash)).toBe(hash === bcrypt)
    costs.push(tried.splice(0).map((cost) => cost.replace(/^2[by]/, 'bcrypt')))
  }
  expect(costs[0]).toEqual(['argon2id v=19', 'bcrypt 05', 'bcrypt 10'])
  expect(costs).toEqual(costs.map(() => costs[0] ?? []))
})

test('passwords: the stand-in bcrypt hash matches no password and takes as long as a real one', async () => {
  const passwords = new Passwords({ bcryptCosts: () => ['04'] })
  expect(await passwords.verify('x', undefined)).toBe(false)
  const imported = await Bun.password.hash('correct-horse', { algorithm: 'bcrypt', cost: 4 })
  expect(await passwords.verify('correct-horse', imported)).toBe(true)
  expect(await passwords.verify('correct-horsf', imported)).toBe(false)
})

test('passwords: guessing the stand-in password signs in to no account', async () => {
  const passwords = new Passwords({ verify: async () => true })
  expect(await passwords.verify('guessed', undefined)).toBe(false)
})

test('passwords: real hashes use the same memory and iterations as the stand-in for absent accounts', async () => {
  const passwords = new Passwords()
  const hash = await passwords.hashNew('correct-horse')
  expect(hash).toStartWith('$argon2id$v=19$m=19456,t=2,p=1$')
  expect(await passwords.verify('correct-horse', hash)).toBe(true)
  expect(await passwords.verify('correct-horsf', hash)).toBe(false)
})

test('passwords: two are hashed at once, 64 wait, and further logins are refused', async () => {
  const gate = Promise.withResolvers<boolean>()
  let running = 0
  const passwords = new Passwords({
    verify: () => {
      running++
      return gate.promise
    },
  })
  const waiting = Array.from({ length: 66 }, () => passwords.verify('x', undefined))
  await expect(passwords.verify('x', undefined)).rejects.toMatchObject({ status: 429 })
  expect(running).toBe(2)
  gate.resolve(false)
  expect(await Promise.all(waiting)).toEqual(waiting.map(() => false))
})

test('passwords: sixteen new ones are hashed or wait, further ones are refused, and logins are not', async () => {
  const passwords = new Passwords({ verify: async () => true })
  const made = Array.from({ length: 16 }, () => passwords.hashNew('correct-horse'))
  const more = Array.from({ length: 64 }, () => failureOf(passwords.hashNew('correct-horse')))
  const login = passwords.verify('x', '$argon2id$')
  expect((await Promise.all(more)).every(({ status }) => status === 429)).toBe(true)
  expect(await login).toBe(true)
  expect(await Promise.all(made)).toHaveLength(16)
  expect(await passwords.hashNew('correct-horse')).toStartWith('$argon2id$')
})

test.each(['', 'seven77', 'x'.repeat(73), 'ä'.repeat(37)])(
  'passwords: %j is refused as a new password',
  async (password) => {
    await expect(new Passwords().hashNew(password)).rejects.toMatchObject({ status: 400 })
  },
)

test.each(['$2y$05$', '$2a$10$', '$2b$12$'])('passwords: a bcrypt hash %s is imported unchanged', (kind) => {
  const hash = kind + './AZaz09'.padEnd(53, 'x')
  expect(new Passwords().checkImported('alice', hash)).toBe(hash)
})

test.each([
  ['$apr1$abcdefgh$0123456789012345678901', 'MD5 (apr1)'],
  ['{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', 'SHA-1'],
  ['$5$salt$hash', 'SHA-256 (crypt)'],
  ['$6$salt$hash', 'SHA-512 (crypt)'],
  ['rl.3StKT.4T8M', 'crypt or plain text'],
  ['$argon2id$v=19$m=1,t=1,p=1$x$y', 'argon2'],
  [`$2y$31$${'a'.repeat(53)}`, 'crypt or plain text'],
])('passwords: importing %s is refused, naming its kind', (hash, kind) => {
  expect(() => new Passwords().checkImported('alice', hash)).toThrow(
    `the password hash of alice is ${kind}: only bcrypt is accepted`,
  )
})
