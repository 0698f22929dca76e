import { expect, test } from 'bun:test'
import { MemoryBudget } from '../../src/http/body.ts'
import { failureOf } from '../support/failure.ts'

const stays = () => new AbortController().signal

test('memory budget: bodies that each hold a part and wait for more do not deadlock', async () => {
  const budget = new MemoryBudget(100, 40, 60)
  const bodies = Array.from({ length: 10 }, () => budget.begin(undefined))
  const grow = async (body: (typeof bodies)[number]) => {
    for (let step = 0; step < 4; step++) {
      if (!budget.tryTake(body, 10)) await budget.wait(body, 10, stays())
      await new Promise(setImmediate)
      const held = bodies.reduce((sum, { held }) => sum + held, 0)
      expect(held).toBeLessThanOrEqual(100)
    }
    budget.end(body)
    body.held = 0
  }
  await Promise.all(bodies.map(grow))
  expect(budget.stuckSeconds).toBe(0)
  expect(budget.tryTake(budget.begin(undefined), 60)).toBe(true)
})

test('memory budget: one client can hold half of the shared memory, and others get the rest', async () => {
  const budget = new MemoryBudget(140, 40, 60)
  const greedy = [budget.begin('a'), budget.begin('a')]
  expect(greedy.map((body) => budget.tryTake(body, 40))).toEqual([true, false])
  expect(budget.tryTake(budget.begin('b'), 40)).toBe(true)
})

test('memory budget: a waiting client that disconnects is skipped, and the next one is served', async () => {
  const budget = new MemoryBudget(20, 10, 60)
  const [first, second, third, fourth] = [1, 2, 3, 4].map(() => budget.begin(undefined))
  if (!first || !second || !third || !fourth) throw new Error('there are four')
  expect(budget.tryTake(first, 10)).toBe(true)
  await budget.wait(second, 10, stays())
  const leaving = new AbortController()
  const left = failureOf(budget.wait(third, 10, leaving.signal))
  const waits = budget.wait(fourth, 10, stays())
  leaving.abort()
  expect((await left).name).toBe('AbortError')
  budget.end(second)
  await waits
})

test('memory budget: waiting has a deadline, 503 with Retry-After', async () => {
  const budget = new MemoryBudget(10, 10, 0.01)
  await budget.wait(budget.begin(undefined), 10, stays())
  const failure = await failureOf(budget.wait(budget.begin(undefined), 1, stays()))
  expect(failure).toMatchObject({ status: 503, headers: { 'retry-after': '5' } })
  expect(budget.stuckSeconds).toBe(0)
})

test('memory budget: a queue that does not move reports for how long', async () => {
  const budget = new MemoryBudget(10, 10, 60)
  const holder = budget.begin(undefined)
  await budget.wait(holder, 10, stays())
  const waits = budget.wait(budget.begin(undefined), 1, stays())
  await new Promise(setImmediate)
  expect(budget.stuckSeconds).toBeGreaterThan(0)
  budget.end(holder)
  await waits
  expect(budget.stuckSeconds).toBe(0)
})
