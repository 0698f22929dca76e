import { expect, test } from 'bun:test'
import { runsOf } from '../../src/page/server/retention-runs.ts'

const event = (at: string, requestId: string) => ({
  id: '1',
  at: `2026-01-01T${at}.000Z`,
  type: 'retention.expire' as const,
  repository: 'team/app',
  requestId,
})

test('retention: deletions of one request that are close together are one run', () => {
  const events = [
    event('12:00:10', 'b'),
    event('12:00:09', 'b'),
    event('12:00:08', 'a'),
    event('10:00:00', 'a'),
    event('09:59:30', 'a'),
  ]
  expect(runsOf(events).map(({ at, events: { length } }) => [at.slice(11, 19), length])).toEqual([
    ['12:00:10', 2],
    ['12:00:08', 1],
    ['10:00:00', 2],
  ])
  expect(runsOf([])).toEqual([])
})
