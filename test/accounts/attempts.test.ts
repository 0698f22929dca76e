import { expect, test } from 'bun:test'
import { Attempts } from '../../src/accounts/sign-ins.ts'

function make() {
  const clock = { now: 1_000_000 }
  const attempts = new Attempts(() => clock.now)
  const begin = (account: string, address = '192.0.2.1', isKnownAddress = false) =>
    attempts.begin({ account, address, isKnownAddress })
  const secondsLeft = (account: string, address?: string, isKnownAddress?: boolean): number => {
    try {
      begin(account, address, isKnownAddress).abandoned()
      return 0
    } catch (error) {
      const { headers, status } = error as { headers: Record<string, string>; status: number }
      expect(status).toBe(429)
      return Number(headers['retry-after'])
    }
  }
  return { clock, attempts, begin, fail: begin, secondsLeft }
}

test('failed logins: five per account are free, then each doubles the wait, up to 300 seconds', () => {
  const { clock, fail, secondsLeft } = make()
  for (let count = 0; count < 6; count++) fail('alice')
  for (const seconds of [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]) {
    expect(secondsLeft('alice')).toBe(seconds)
    clock.now += seconds * 1000 - 1
    expect(secondsLeft('alice')).toBe(1)
    clock.now += 1
    fail('alice')
  }
})

test('failed logins: guesses delay their account from everywhere, and no other account at another address', () => {
  const { fail, secondsLeft } = make()
  for (let count = 0; count < 6; count++) fail('alice', `192.0.2.${count}`)
  expect(secondsLeft('alice', '198.51.100.1')).toBe(2)
  expect(secondsLeft('bob', '198.51.100.1')).toBe(0)
})

test('failed logins: at an address where the account has signed in before, only guesses from there delay it', () => {
  const { fail, secondsLeft } = make()
  for (let count = 0; count < 6; count++) fail('alice', `192.0.2.${count}`)
  for (let count = 0; count < 21; count++) fail(`other-${count}`, '203.0.113.1')
  expect(secondsLeft('alice', '203.0.113.1', true)).toBe(0)
  for (let count = 0; count < 6; count++) fail('alice', '203.0.113.1', true)
  expect(secondsLeft('alice', '203.0.113.1', true)).toBe(2)
  expect(secondsLeft('alice', '203.0.113.2', true)).toBe(0)
})

test('failed logins: unlocking an account ends its wait everywhere, and no other wait', () => {
  const { attempts, fail, secondsLeft } = make()
  for (let count = 0; count < 6; count++) {
    fail('alice')
    fail('bob', '192.0.2.9')
    fail('alice', '203.0.113.1', true)
  }
  attempts.unlock('alice')
  expect(secondsLeft('alice')).toBe(0)
  expect(secondsLeft('alice', '203.0.113.1', true)).toBe(0)
  expect(secondsLeft('bob', '192.0.2.8')).toBe(2)
})

test('failed logins: guesses at any account delay their address, and a successful login there does not reset it', () => {
  const { clock, begin, fail, secondsLeft } = make()
  for (let count = 0; count < 20; count++) fail(`account-${count}`)
  begin('own').succeeded()
  fail('account-20')
  expect(secondsLeft('own')).toBe(2)
  clock.now += 2000
  begin('own').succeeded()
  expect(secondsLeft('own')).toBe(0)
  fail('account-21')
  expect(secondsLeft('own')).toBe(4)
})

test('failed logins: concurrent attempts count as failed until they succeed, by account and by address', () => {
  const { begin, secondsLeft } = make()
  const begun = Array.from({ length: 6 }, () => begin('alice'))
  expect(secondsLeft('alice')).toBe(2)
  begun[0]?.succeeded()
  expect(secondsLeft('alice')).toBe(0)
  const others = Array.from({ length: 16 }, (_, at) => begin(`other-${at}`))
  expect(secondsLeft('another')).toBe(2)
  others[0]?.succeeded()
  expect(secondsLeft('another')).toBe(0)
})

test('failed logins: an attempt that the server was too busy to check does not count', () => {
  const { begin, secondsLeft } = make()
  for (let count = 0; count < 100; count++) begin('alice').abandoned()
  expect(secondsLeft('alice')).toBe(0)
})

test('failed logins: an IPv6 address is counted by its /64 network', () => {
  const { fail, secondsLeft } = make()
  for (let count = 0; count < 21; count++) fail(`account-${count}`, `2001:db8:0:1::${count + 1}`)
  expect(secondsLeft('another', '2001:db8:0:1:ffff::1')).toBe(2)
  expect(secondsLeft('another', '2001:db8:0:2::1')).toBe(0)
})

test('failed logins: the count is forgotten after an hour', () => {
  const { clock, fail, secondsLeft } = make()
  for (let count = 0; count < 12; count++) {
    fail('alice')
    clock.now += 301_000
  }
  clock.now += 3_600_000
  for (let count = 0; count < 5; count++) fail('alice')
  expect(secondsLeft('alice')).toBe(0)
})

test('failed logins: releasing memory forgets only failures that no longer count', () => {
  const { clock, attempts, fail, secondsLeft } = make()
  for (let count = 0; count < 6; count++) fail('alice')
  clock.now += 1000
  attempts.releaseMemory()
  expect(secondsLeft('alice')).toBe(1)
})
