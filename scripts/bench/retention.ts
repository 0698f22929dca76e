import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import type { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { absolute, type Bench, type Case } from './lib/case.ts'
import { fillMetadata } from './lib/filled-metadata.ts'
import type { Row } from './lib/measurement.ts'
import { waitsAlone, waitsBeside } from './lib/waits.ts'

const expiring = 1000
const days = 30
const waitMillisecondsMax = 10
const pulled = '/v2/team-0/app-0/tags/list?n=1'
/** The tags expire so long after the folder was filled: after the first run, which looks at everything. */
const delayMilliseconds = 45_000

/** Measures retention in a full registry while it serves. */
export const retentionCases: Case[] = [
  {
    name: 'retention',
    title: ({ repositories }) =>
      `${expiring} tags expired by a policy, of ${repositories.toLocaleString('en')} repositories of 100 tags`,
    unit: 'ms',
    reference: 'expiry',
    targets: [
      absolute('expiry', 'at most', 2000),
      absolute('longest wait of a pull, expiry', 'at most', waitMillisecondsMax),
      absolute('longest wait of a pull, first run', 'at most', waitMillisecondsMax),
    ],
    run: measure,
  },
]

async function measure({ executables, scale }: Bench): Promise<Row[]> {
  await using folder = await temporaryFolder('bench-retention')
  await fillMetadata(executables, folder.path, scale.repositories)
  const expireAt = Date.now() + delayMilliseconds
  age(folder.path, expireAt - days * 86_400_000)
  await using server = await startServer({ data: folder.path, executable: executables.cay })
  await server.registry.api('PUT', '/retention/policies/all', { repositories: ['**'], pushedDays: days })
  const { port } = server
  const alone = await waitsAlone(port, pulled)
  const first = await besidePulls(server.registry, port)
  await Bun.sleep(Math.max(0, expireAt + 1000 - Date.now()))
  const second = await besidePulls(server.registry, port)
  if (second.tags !== expiring) throw new Error(`${second.tags} tags expired, not ${expiring}`)
  return [
    { name: 'expiry', value: second.milliseconds, note: `${second.repositories} repositories looked at` },
    { name: 'longest wait of a pull, expiry', value: second.wait, note: 'while tags expire' },
    { name: 'first run', value: first.milliseconds, note: `${first.repositories} repositories looked at` },
    { name: 'longest wait of a pull, first run', value: first.wait, note: 'while all tags are looked at' },
    { name: 'longest wait of a pull, alone', value: alone, note: 'before the first run' },
  ]
}

/** Makes one tag of each of the first repositories, with its manifest, as old as that. */
function age(data: string, at: number): void {
  using database = new Database(join(data, 'cay.db'))
  const first = `SELECT repository_id, min(name) FROM tag WHERE repository_id <= ${expiring} GROUP BY repository_id`
  const old = `SELECT manifest_id FROM tag WHERE (repository_id, name) IN (${first})`
  database.query(`UPDATE manifest SET pushed_at = ? WHERE id IN (${old})`).run(at)
  database.query(`UPDATE tag SET updated_at = ? WHERE (repository_id, name) IN (${first})`).run(at)
  database.run('PRAGMA wal_checkpoint(TRUNCATE)')
}

/** Applies the policies while something is pulled again and again. */
async function besidePulls(registry: Registry, port: number) {
  const { result: id, ...waits } = await waitsBeside(port, pulled, () => registry.runJob('retain'))
  const { result } = await registry.api<{ result: { tags: number; repositories: number } }>(
    'GET',
    `/jobs/${id}`,
  )
  return { ...result, ...waits }
}
