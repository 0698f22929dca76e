import { expect, test } from 'bun:test'
import { once } from '../../src/runtime/idle-memory.ts'

test('once: a value is created on first use, and kept', () => {
  let times = 0
  const count = once(() => ++times)
  expect(times).toBe(0)
  expect([count(), count(), times]).toEqual([1, 1, 1])
})

test('once: a creation that failed is tried again', () => {
  let times = 0
  const make = once(() => {
    if (++times === 1) throw new Error('not yet')
    return times
  })
  expect(make).toThrow('not yet')
  expect([make(), make()]).toEqual([2, 2])
})
