import { expect, test } from 'bun:test'
import { LoopTurns } from '../../src/http/clients.ts'

test('one waiter continues per turn of the event loop', async () => {
  const turns = new LoopTurns()
  let done = 0
  const all = Array.from({ length: 20 }, () => turns.next().then(() => void done++))
  await new Promise((resolve) => setImmediate(resolve))
  expect(done).toBeGreaterThanOrEqual(1)
  expect(done).toBeLessThanOrEqual(2)
  await Promise.all(all)
  expect(done).toBe(20)
})
