import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import type { PullKey, UsageEntry } from '../../src/registry/pull-counts.ts'
import { EMPTY } from '../support/content.ts'
import { AT, link, withMetadata } from '../support/writes.ts'

const APP = parseRepositoryName('app')
const DAY = 86_400_000
const FIRST: PullKey = { day: Number.MAX_SAFE_INTEGER, id: 0 }

function pullOf(tag: string | undefined, account: string | undefined, at = AT): UsageEntry {
  const pushes = { pushes: 0, lastPushedAt: undefined }
  return {
    repository: APP,
    tag: tag === undefined ? undefined : parseTag(tag),
    digest: undefined,
    account,
    pulls: 1,
    lastPulledAt: at,
    ...pushes,
  }
}

async function withRepository(act: (metadata: Metadata) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder('pulls')
  await withMetadata(folder.path, async (metadata) => {
    await metadata.write(...link('app', EMPTY))
    await act(metadata)
  })
}

test('pulls: those of a tag, an account and a day are added up, and listed newest day first', () =>
  withRepository(async (metadata) => {
    const entries = [pullOf('v1', 'alice'), pullOf(undefined, undefined), pullOf('v1', 'alice', AT + DAY)]
    await metadata.write('addUsage', { entries })
    await metadata.write('addUsage', { entries: [pullOf('v1', 'alice')] })
    const rows = (await metadata.pulls.list(APP, undefined, FIRST, 10)) ?? []
    const day = Math.floor(AT / DAY)
    expect(rows.map(({ id, ...row }) => row)).toEqual([
      { day: day + 1, tag: parseTag('v1'), account: 'alice', pulls: 1 },
      { day, tag: undefined, account: undefined, pulls: 1 },
      { day, tag: parseTag('v1'), account: 'alice', pulls: 2 },
    ])
    const [newest = FIRST] = rows
    expect(await metadata.pulls.list(APP, parseTag('v1'), newest, 10)).toEqual(rows.slice(2))
  }))

test('pulls: old days are deleted in pieces', () =>
  withRepository(async (metadata) => {
    const entries = Array.from({ length: 600 }, (_, n) => pullOf(`v${n}`, 'alice'))
    await metadata.write('addUsage', { entries: [...entries, pullOf('v1', 'alice', AT + DAY)] })
    const before = Math.floor(AT / DAY) + 1
    expect(await metadata.write('removePulls', { before })).toEqual({ more: true })
    expect(await metadata.write('removePulls', { before })).toEqual({ more: false })
    expect(await metadata.pulls.list(APP, undefined, FIRST, 10)).toHaveLength(1)
  }))

test('pulls: an account that pulls very many tags is then counted without tags, and others still with theirs', () =>
  withRepository(async (metadata) => {
    const entries = Array.from({ length: 5010 }, (_, n) => pullOf(`v${n}`, 'crawler'))
    await metadata.write('addUsage', { entries: [...entries, pullOf('v1', 'alice')] })
    const [alice, ...rows] = (await metadata.pulls.list(APP, undefined, FIRST, 10_000)) ?? []
    expect(alice).toMatchObject({ tag: parseTag('v1'), account: 'alice' })
    expect(rows).toHaveLength(5001)
    expect(rows[0]).toMatchObject({ tag: undefined, account: 'crawler', pulls: 10 })
  }))

test('pulls: the rows of a day are limited, and pulls of known rows are still counted', () =>
  withRepository(async (metadata) => {
    const accounts = ['a', 'b', 'c', 'd', 'e']
    const entries = accounts.flatMap((account) =>
      Array.from({ length: 4500 }, (_, n) => pullOf(`v${n}`, account)),
    )
    await metadata.write('addUsage', { entries })
    await metadata.write('addUsage', { entries: [pullOf('v0', 'a'), pullOf('v0', 'f')] })
    const rows = (await metadata.pulls.list(APP, undefined, FIRST, 30_000)) ?? []
    expect(rows).toHaveLength(20_000)
    expect(rows.at(-1)).toMatchObject({ tag: parseTag('v0'), account: 'a', pulls: 2 })
  }))
