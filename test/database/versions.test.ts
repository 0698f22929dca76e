import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { failureOf } from '../support/failure.ts'
import { AT, CALLER, withMetadata } from '../support/writes.ts'

test('versions: no number is used twice, even if calls fail or the database is reopened', async () => {
  await using folder = await temporaryFolder('versions')
  const given: number[] = []
  for (const round of [1, 2, 3]) {
    await withMetadata(folder.path, async (metadata) => {
      for (const n of [1, 2]) {
        const name = `group-${round}-${n}`
        const call = { caller: CALLER, at: AT, name, add: [], remove: [] }
        await metadata.write('putGroup', call)
        await failureOf(metadata.write('changeMembers', { ...call, add: ['nobody'] }))
        given.push(metadata.accounts.findGroup(name)?.version ?? 0)
      }
    })
  }
  expect(given.every((version, at) => at === 0 || version > (given[at - 1] ?? 0))).toBeTrue()
})
