import { expect, test } from 'bun:test'
import { Attempts } from '../../src/auth/attempts.ts'

function make() {
  const clock = { now: 1_000_000 }
  const attempts = new Attempts(() => clock.now)
  const fail = (account: string, address = '192.0.2.1') => attempts.begin(account, address).failed()
  const secondsLeft = (account: string, address = '192.0.2.1'): number => {
    try {
      attempts.begin(account, address)
      return 0
    } catch (error) {
      const { headers, status } = error as { headers: Record<string, string>; status: number }
      expect(status).toBe(429)
      return Number(headers['retry-after'])
    }
  }
  return { clock, attempts, fail, secondsLeft }
}

test('five wrong passwords of an account are free, then each doubles the wait, up to 300 seconds', () => {
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

test('an account waits for guesses from anywhere; others at other addresses do not', () => {
  const { fail, secondsLeft } = make()
  for (let count = 0; count < 6; count++) fail('alice', `192.0.2.${count}`)
  expect(secondsLeft('alice', '198.51.100.1')).toBe(2)
  expect(secondsLeft('bob', '198.51.100.1')).toBe(0)
})

test('an address waits for guesses at any account, and a right password there does not free it', () => {
  const { clock, attempts, fail, secondsLeft } = make()
  for (let count = 0; count < 20; count++) fail(`account-${count}`)
  attempts.begin('own', '192.0.2.1').succeeded()
  fail('account-20')
  expect(secondsLeft('own')).toBe(2)
  clock.now += 2000
  attempts.begin('own', '192.0.2.1').succeeded()
  fail('account-21')
  expect(secondsLeft('own')).toBe(4)
})

test('many tries at once count as wrong ones until they are known to be right', () => {
  const { attempts, secondsLeft } = make()
  const begun = Array.from({ length: 6 }, () => attempts.begin('alice', '192.0.2.1'))
  expect(begun.map(({ isLastFree }) => isLastFree)).toEqual([false, false, false, false, false, true])
  expect(secondsLeft('alice')).toBe(2)
  begun[0]?.succeeded()
  expect(secondsLeft('alice')).toBe(0)
})

test('what was wrong is forgotten after an hour', () => {
  const { clock, fail, secondsLeft } = make()
  for (let count = 0; count < 12; count++) {
    fail('alice')
    clock.now += 301_000
  }
  clock.now += 3_600_000
  for (let count = 0; count < 5; count++) fail('alice')
  expect(secondsLeft('alice')).toBe(0)
})
