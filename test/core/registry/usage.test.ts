import { expect, test } from 'bun:test'
import { Usage } from '../../../src/core/registry/usage.ts'
import type { UsageEntry } from '../../../src/metadata/content/usage.ts'
import { parseRepositoryName, parseTag } from '../../../src/oci/reference.ts'
import { failureOf } from '../../support/failure.ts'
import { AT } from '../../support/writes.ts'

const APP = parseRepositoryName('app')
const repositoryOf = (n: number) => parseRepositoryName(`r${n}`)

/** Records writes, and can make them fail. */
function fakeWrites() {
  const state = { written: [] as UsageEntry[], failure: undefined as Error | undefined, largest: 0 }
  const write = async (_: 'addUsage', { entries }: { entries: UsageEntry[] }) => {
    await Promise.resolve()
    if (state.failure) throw state.failure
    state.largest = Math.max(state.largest, entries.length)
    state.written.push(...entries)
  }
  return { state, usage: new Usage({ write: write as never }, () => AT) }
}

test('usage: pulls and pushes of the same repository and tag are added up', async () => {
  const { state, usage } = fakeWrites()
  for (const tag of [parseTag('a'), parseTag('a'), undefined]) usage.pulled(APP, tag)
  usage.pushed(APP)
  await usage.flush()
  const common = { repository: APP, pushes: 0, lastPulledAt: AT, lastPushedAt: undefined }
  expect(state.written).toEqual([
    { ...common, tag: parseTag('a'), pulls: 2 },
    { ...common, tag: undefined, pulls: 1, pushes: 1, lastPushedAt: AT },
  ])
  await usage.flush()
  expect(state.written).toHaveLength(2)
})

test('usage: counts of a failed write are written the next time', async () => {
  const { state, usage } = fakeWrites()
  usage.pulled(APP, undefined)
  state.failure = new Error('full')
  expect(await failureOf(usage.flush())).toBe(state.failure)
  usage.pulled(APP, undefined)
  await usage.close()
  state.failure = undefined
  await usage.close()
  expect(state.written).toMatchObject([{ repository: APP, pulls: 2 }])
})

test('usage: many counts are written early and in pieces, within the limit', async () => {
  const { state, usage } = fakeWrites()
  for (let n = 0; n < 25_000; n++) usage.pulled(repositoryOf(n), undefined)
  await usage.close()
  expect(state.written).toHaveLength(20_000)
  expect(state.largest).toBeLessThanOrEqual(500)
})

test('usage: counts that arrive during shutdown are also written', async () => {
  const { state, usage } = fakeWrites()
  usage.pulled(APP, undefined)
  const first = usage.flush()
  usage.pulled(APP, undefined)
  await usage.close()
  await first
  expect(state.written.map(({ pulls }) => pulls)).toEqual([1, 1])
})
