import { expect, test } from 'bun:test'
import { Notices } from '../../src/auth/notices.ts'
import type { Metadata } from '../../src/metadata/metadata.ts'

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
