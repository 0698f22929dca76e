import { expect, test } from 'bun:test'
import { Notices } from '../../src/accounts/sign-ins.ts'
import type { Metadata } from '../../src/database/metadata.ts'

test('notices: a flush does not wait for what is noted after it, as in a flood', async () => {
  const written: string[] = []
  const floodMax = 1000
  let count = 0
  const metadata = {
    async write(_: string, { notices }: { notices: { account: string }[] }) {
      // The flood goes on while each batch is written.
      if (count < floodMax) failed(`flood ${count++}`)
      await new Promise((resolve) => setImmediate(resolve))
      written.push(...notices.map(({ account }) => account))
    },
  }
  const notices = new Notices(metadata as unknown as Metadata, () => 0)
  const failed = (account: string) =>
    notices.note({ kind: 'failed', target: 'password', account, address: '192.0.2.1' })
  failed('alice')
  failed('bob')
  await notices.flush()
  expect(written).toEqual(['alice', 'flood 0', 'bob'])
  expect(count).toBeLessThan(floodMax)
})

test('notices: of a flood of denials with one target each, a batch has a few rows, and counts all', async () => {
  const batches: { target: string; count: number }[][] = []
  const held = Promise.withResolvers<void>()
  const metadata = {
    async write(_: string, { notices }: { notices: { target: string; count: number }[] }) {
      await held.promise
      batches.push(notices)
    },
  }
  const notices = new Notices(metadata as unknown as Metadata, () => 0)
  const deniedMax = 2000
  for (let n = 0; n <= deniedMax; n++) {
    notices.note({ kind: 'refused', target: `push to a/${n}`, account: 'eve', address: '192.0.2.1' })
  }
  held.resolve()
  await notices.flush()
  // The first is written at once.
  expect(batches.map(({ length }) => length)).toEqual([1, 17])
  expect(batches[1]?.reduce((sum, { count }) => sum + count, 0)).toBe(deniedMax)
})
