import { expect, test } from 'bun:test'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import type { UsageEntry } from '../../src/registry/pull-counts.ts'
import type { Pull } from '../../src/registry/registry.ts'
import { Usage } from '../../src/registry/usage.ts'
import { EMPTY, named } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { AT } from '../support/writes.ts'

const APP = parseRepositoryName('app')
const TAG = parseTag('a')
const DIGEST = parseDigest(EMPTY.digest)

const repositoryOf = (n: number) => parseRepositoryName(`r${n}`)

function pullOf(changes: Partial<Pull> = {}): Pull {
  return { repository: APP, tag: undefined, digest: DIGEST, account: 'alice', ...changes }
}

/** Records writes, and can make them fail. */
function fakeWrites() {
  const state = { written: [] as UsageEntry[], failure: undefined as Error | undefined, largest: 0, now: AT }
  const write = async (_: 'addUsage', { entries }: { entries: UsageEntry[] }) => {
    await Promise.resolve()
    if (state.failure) throw state.failure
    state.largest = Math.max(state.largest, entries.length)
    state.written.push(...entries)
  }
  return { state, usage: new Usage({ write: write as never }, () => state.now) }
}

/** Returns the tags that a pull by digest counts for, some time after an account resolved a tag to it. */
async function tagsAfter(changes: Partial<Pull>, laterMs = 0) {
  const { state, usage } = fakeWrites()
  usage.resolved(pullOf({ tag: TAG }))
  state.now += laterMs
  usage.pulled(pullOf(changes))
  await usage.flush()
  return state.written.filter(({ pulls }) => pulls > 0).map(({ tag }) => tag)
}

test('usage: pulls of the same repository, tag and account are added up', async () => {
  const { state, usage } = fakeWrites()
  for (const tag of [TAG, TAG, undefined]) usage.pulled(pullOf({ tag }))
  usage.pulled(pullOf({ tag: TAG, account: undefined }))
  usage.pushed(APP)
  await usage.flush()
  const common = {
    repository: APP,
    digest: undefined,
    account: 'alice',
    pushes: 0,
    lastPulledAt: AT,
    lastPushedAt: undefined,
  }
  expect(state.written).toEqual([
    { ...common, tag: TAG, pulls: 2 },
    { ...common, tag: undefined, digest: DIGEST, pulls: 1 },
    { ...common, tag: TAG, account: undefined, pulls: 1 },
    {
      ...common,
      tag: undefined,
      account: undefined,
      pulls: 0,
      pushes: 1,
      lastPulledAt: undefined,
      lastPushedAt: AT,
    },
  ])
  await usage.flush()
  expect(state.written).toHaveLength(4)
})

test('usage: a HEAD by tag and a GET by digest of one account count as a pull of the tag, for a minute', async () => {
  expect(await tagsAfter({})).toEqual([TAG])
  expect(await tagsAfter({}, 59_999)).toEqual([TAG])
  expect(await tagsAfter({}, 60_000)).toEqual([undefined])
})

test('usage: a GET by digest of another account, repository or digest counts for no tag', async () => {
  expect(await tagsAfter({ account: undefined })).toEqual([undefined])
  expect(await tagsAfter({ repository: repositoryOf(1) })).toEqual([undefined])
  expect(await tagsAfter({ digest: parseDigest(named('other').digest) })).toEqual([undefined])
})

test('usage: a HEAD is a use of a tag or of a digest, and not a pull', async () => {
  const { state, usage } = fakeWrites()
  usage.resolved(pullOf({ tag: TAG }))
  usage.resolved(pullOf())
  await usage.flush()
  expect(state.written).toMatchObject([
    { tag: TAG, digest: undefined, pulls: 0, lastPulledAt: AT },
    { tag: undefined, digest: DIGEST, pulls: 0, lastPulledAt: AT },
  ])
})

test('usage: counts of a failed write are written the next time, with the time of the last pull', async () => {
  const { state, usage } = fakeWrites()
  usage.pulled(pullOf())
  state.failure = new Error('full')
  expect(await failureOf(usage.flush())).toBe(state.failure)
  state.now += 1000
  usage.pulled(pullOf())
  await usage.close()
  state.failure = undefined
  await usage.close()
  const lastPulledAt = AT + 1000
  expect(state.written).toMatchObject([{ repository: APP, account: 'alice', pulls: 2, lastPulledAt }])
})

test('usage: many counts are written early and in pieces, within the limit', async () => {
  const { state, usage } = fakeWrites()
  for (let n = 0; n < 25_000; n++) usage.pulled(pullOf({ repository: repositoryOf(n) }))
  await usage.close()
  expect(state.written).toHaveLength(20_000)
  expect(state.largest).toBeLessThanOrEqual(500)
})

test('usage: counts that arrive during shutdown are also written', async () => {
  const { state, usage } = fakeWrites()
  usage.pulled(pullOf())
  const first = usage.flush()
  usage.pulled(pullOf())
  await usage.close()
  await first
  expect(state.written.map(({ pulls }) => pulls)).toEqual([1, 1])
})
