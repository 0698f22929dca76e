import { expect, test } from 'bun:test'
import { certificateClock, type KeptClock, openClocks } from '../../src/runtime/clock.ts'

const DAY = 86_400_000

/** A machine whose wall clock and monotonic clock are set separately. */
function machine(newest: number, wall: number) {
  const at = { wall, monotonic: 7 }
  const clocks = openClocks(newest, { wall: () => at.wall, monotonic: () => at.monotonic })
  return {
    at,
    now: clocks.now,
    steady: clocks.steady(DAY),
    wait(ms: number) {
      at.wall += ms
      at.monotonic += ms
    },
  }
}

test('recording clock: it equals the wall clock while that runs normally', () => {
  const { at, now, wait } = machine(0, 1000)
  expect(now()).toBe(1000)
  wait(5)
  expect(now()).toBe(1005)
  at.wall += 3_600_000
  expect(now()).toBe(3_601_005)
})

test('recording clock: it never goes back behind recorded times, and continues from the last one', () => {
  const { now, wait } = machine(50_000, 1000)
  expect(now()).toBe(50_000)
  wait(10)
  expect(now()).toBe(50_010)
})

test('recording clock: it keeps running when the wall clock is set back, and follows it again once corrected', () => {
  const { at, now, wait } = machine(0, 50_000)
  expect(now()).toBe(50_000)
  at.wall = 1000
  wait(10)
  expect([now(), now()]).toEqual([50_010, 50_010])
  wait(0.4)
  expect(now()).toBe(50_010)
  at.wall = 90_000
  expect(now()).toBe(90_000)
})

test('steady clock: it ignores a jump forward until the jump has lasted a grace period', () => {
  const { at, now, steady, wait } = machine(0, 1000 * DAY)
  wait(DAY)
  expect(steady()).toBe(1001 * DAY)
  at.wall += 9 * DAY
  expect([now(), steady()]).toEqual([1010 * DAY, 1001 * DAY])
  wait(DAY - 1)
  expect(steady()).toBe(1002 * DAY - 1)
  wait(1)
  expect(steady()).toBe(1011 * DAY)
})

test('steady clock: it starts at the wall clock, and ignores a jump that ends', () => {
  const { at, now, steady, wait } = machine(2000 * DAY, 1000 * DAY)
  expect(steady()).toBe(1000 * DAY)
  at.wall += 9 * DAY
  expect(steady()).toBe(1000 * DAY)
  wait(DAY / 2)
  at.wall -= 9 * DAY
  expect(steady()).toBe(1000.5 * DAY)
  at.wall += 9 * DAY
  wait(DAY / 2)
  expect([now(), steady()]).toEqual([2001 * DAY, 1001 * DAY])
})

test('steady clock: it follows the wall clock back immediately, and is never ahead of it', () => {
  const { at, steady, wait } = machine(0, 1000 * DAY)
  at.wall = 5 * DAY
  expect(steady()).toBe(5 * DAY)
  wait(3 * DAY)
  expect(steady()).toBe(8 * DAY)
  at.wall = 1003 * DAY
  expect(steady()).toBe(8 * DAY)
})

test('certificate clock: it uses the best guess while the clock is not set, and ignores jumps afterwards', () => {
  const then = Date.UTC(2027, 0, 1)
  const { at, now, steady, wait } = machine(then, 0)
  const dated = certificateClock(steady, now)
  expect(dated()).toBe(then)
  at.wall = then + 30 * DAY
  expect(dated()).toBe(then + 30 * DAY)
  wait(DAY)
  expect(dated()).toBe(then + 31 * DAY)
  at.wall += 9 * DAY
  expect(dated()).toBe(then + 31 * DAY)
})

test('certificate clock: on a board without any time it starts at the first release', () => {
  const { steady, now } = machine(0, 0)
  expect(certificateClock(steady, now)()).toBe(Date.UTC(2026, 9, 1))
})

test('deletion clock: it continues over a restart, and follows the wall clock after a grace period in total', () => {
  const at = { wall: 10 * DAY, monotonic: 0 }
  const open = (kept?: KeptClock) =>
    openClocks(0, { wall: () => at.wall, monotonic: () => at.monotonic }).keptSteady(DAY, kept)
  const wait = (ms: number) => {
    at.wall += ms
    at.monotonic += ms
  }
  const first = open()
  wait(DAY)
  expect(first.read()).toBe(11 * DAY)
  let kept = first.keep()
  // It is off for 30 days, or its clock is wrong: nobody knows.
  at.wall += 30 * DAY
  const second = open(kept)
  expect(second.read()).toBe(11 * DAY)
  wait(DAY / 2)
  expect(second.read()).toBe(11.5 * DAY)
  kept = second.keep()
  at.wall += 1000
  const third = open(kept)
  wait(DAY / 2)
  expect(third.read()).toBe(at.wall)
  at.wall = 5 * DAY
  expect(open(third.keep()).read()).toBe(5 * DAY)
})
