import { expect, test } from 'bun:test'
import { recordingClock } from '../../src/domain/clock.ts'

/** A machine whose wall clock and time are told apart. */
function machine(newest: number, wall: number) {
  const at = { wall, monotonic: 7 }
  const now = recordingClock(newest, { wall: () => at.wall, monotonic: () => at.monotonic })
  return {
    at,
    now,
    wait(ms: number) {
      at.wall += ms
      at.monotonic += ms
    },
  }
}

test('is the wall clock, as long as that goes on', () => {
  const { at, now, wait } = machine(0, 1000)
  expect(now()).toBe(1000)
  wait(5)
  expect(now()).toBe(1005)
  at.wall += 3_600_000
  expect(now()).toBe(3_601_005)
})

test('never goes back behind what is recorded, and goes on from there', () => {
  const { now, wait } = machine(50_000, 1000)
  expect(now()).toBe(50_000)
  wait(10)
  expect(now()).toBe(50_010)
})

test('goes on when the wall clock is set back, and follows it again when it is set right', () => {
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
