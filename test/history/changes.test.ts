import { expect, test } from 'bun:test'
import type { EventRow } from '../../src/database/outbox.ts'
import { Changes } from '../../src/history/history.ts'

const NEWEST = { id: 1000, at: 0 }

test('changes: watchers that are far behind read one part in each turn of the event loop', async () => {
  let turns = 0
  const read: number[] = []
  const changes = new Changes({
    outbox: {
      newest: async () => NEWEST,
      after: async (id) => {
        read.push(turns)
        return [{ id: id + 100 }] as EventRow[]
      },
    },
    jobs: () => [],
  })
  let isDone = false
  const count = () => {
    turns++
    if (!isDone) setImmediate(count)
  }
  setImmediate(count)
  const catchUp = async () => {
    const watch = changes.watch('client', () => {}, 0)
    await watch.start()
    while ((await watch.take()).length > 0);
    watch.stop()
  }
  await Promise.all([catchUp(), catchUp()])
  isDone = true
  expect(read).toHaveLength(20)
  expect(new Set(read).size).toBe(20)
})
