import { expect, test } from 'bun:test'
import { within } from '../../src/database/operation.ts'

test('long writes: a part processes at least one row, even if its time is over before', () => {
  const processed: number[] = []
  expect(
    within(
      [1, 2, 3],
      (row) => processed.push(row),
      () => true,
    ),
  ).toBe(1)
  expect(processed).toEqual([1])
})

test('long writes: a part without rows ends', () => {
  expect(
    within(
      [],
      () => {},
      () => true,
    ),
  ).toBe(0)
})
