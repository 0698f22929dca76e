import { expect, test } from 'bun:test'
import { SlotPool } from '../../src/storage/digesters.ts'

test('slot pool: it has as many slots as fit, at least two, each with memory of its own', () => {
  const pool = new SlotPool(1000, 300)
  const slots = [pool.take(), pool.take(), pool.take()] as number[]
  expect(slots.toSorted()).toEqual([0, 1, 2])
  for (const slot of slots) pool.fill(slot, 0, new Uint8Array(300).fill(slot + 1))
  for (const slot of slots) {
    expect(Uint8Array.from(new Uint8Array(pool.buffer, slot * 300, 300))).toEqual(
      new Uint8Array(300).fill(slot + 1),
    )
  }
  expect(new SlotPool(10, 300).buffer.byteLength).toBe(600)
})

test('slot pool: the client that waits longest gets the next slot', async () => {
  const pool = new SlotPool(2, 1)
  const slots = [pool.take(), pool.take()] as number[]
  expect(pool.scarce).toBe(false)
  const order: string[] = []
  const waiting = ['a', 'b', 'c'].map(async (name) => {
    const slot = await pool.take()
    order.push(name)
    pool.give(slot)
  })
  expect(pool.scarce).toBe(true)
  pool.give(slots[0]!)
  await Promise.all(waiting)
  expect(order).toEqual(['a', 'b', 'c'])
  expect(pool.scarce).toBe(false)
  expect(pool.take()).toBe(slots[0]!)
})

test('slot pool: the holder of a partly filled slot is asked to release it while others wait', () => {
  const pool = new SlotPool(2, 1)
  const asked: string[] = []
  const [first, second] = [() => asked.push('first'), () => asked.push('second')]
  pool.hold(first)
  pool.hold(second)
  pool.take()
  pool.take()
  expect(asked).toEqual([])
  pool.take()
  expect(asked).toEqual(['first', 'second'])
  pool.release(first)
  pool.take()
  expect(asked).toEqual(['first', 'second', 'second'])
})
