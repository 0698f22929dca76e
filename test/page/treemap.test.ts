import { expect, test } from 'bun:test'
import { treemap } from '../../src/page/values/treemap.ts'

test('page: the areas of a treemap are in proportion to their weights, and fill it', () => {
  const weights = [50, 20, 20, 5, 5, 0]
  const areas = treemap(weights, 2)
  expect(areas.map(({ width, height }) => Math.round((width * height) / 100))).toEqual(weights)
  for (const { left, top, width, height } of areas) {
    expect(left + width).toBeLessThanOrEqual(100.001)
    expect(top + height).toBeLessThanOrEqual(100.001)
  }
})

test('page: a treemap without entries has no areas, and one of equal empty entries is divided evenly', () => {
  expect(treemap([], 2)).toEqual([])
  expect(treemap([0, 0], 2).map(({ width }) => width)).toEqual([50, 50])
})
