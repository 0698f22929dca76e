import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { percentile } from '../lib/percentiles.ts'
import { manifestMediaType } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { absolute, type Bench, type Case } from './lib/case.ts'
import { Connection } from './lib/connection.ts'
import type { Row } from './lib/measurement.ts'
import { waitsAlone, waitsBeside } from './lib/waits.ts'
import { imageOf, publishImage } from './push.ts'

const beside = 'bench/beside'
/** The repository with very many tags. */
export const many = 'bench/many'
const resource = `/repositories/${encodeURIComponent(many)}`
const path = `/api/v1${resource}`
const digest = `sha256:${'11'.repeat(32)}`
/** The manifest that is deleted, and comes back, has one of so many tags. */
const share = 10
const millisecondsMax = 10
const pulled = `/v2/${beside}/manifests/latest`

const acts = ['search for tags', 'repository', 'repositories', 'deletion', 'rewind', 'collection'] as const

/** How a repository with very many tags affects pulls and pushes elsewhere. */
export const manyTagsCases: Case[] = [
  {
    name: 'many-tags',
    title: (scale) =>
      `longest wait of a pull elsewhere, beside work on a repository of ${tagsOf(scale).toLocaleString('en')} tags`,
    unit: 'ms',
    reference: 'repository',
    targets: acts.map((name) => absolute(name, 'at most', millisecondsMax)),
    run: measure,
  },
]

const tagsOf = ({ repositories }: Bench['scale']) => repositories * 100

async function measure({ executables, random, scale }: Bench): Promise<Row[]> {
  await using folder = await temporaryFolder('bench-many-tags')
  const start = async (env: Record<string, string> = {}) => {
    const server = await startServer({ data: folder.path, executable: executables.cay, env })
    const { registry } = server
    // The first request loads the admin API, which is not to be measured.
    await registry.get('/api/v1/jobs')
    const { port } = server
    return { server, registry, port, [Symbol.asyncDispose]: () => server.stop() }
  }
  const [config, layer] = random.pieces(2, 1024)
  const image = imageOf(config!, layer!)
  {
    await using empty = await start()
    await publishImage({ name: 'cay', port: empty.port, data: '' }, beside, image)
  }
  fillManyTags(folder.path, tagsOf(scale))
  const rows: Row[] = []
  {
    await using full = await start()
    const { registry, port } = full
    const observe = async (name: (typeof acts)[number], act: () => Promise<unknown>) => {
      rows.push(await besidePulls(port, image.manifest, name, act))
    }
    rows.push({ name: 'nothing', value: await waitsAlone(port, pulled), note: 'without pushes, too' })
    const to = new Date().toISOString()
    await observe('search for tags', () => registry.get(`${path}/tags?q=none&limit=100`))
    await observe('repository', () => registry.get(path))
    await observe('repositories', () => registry.get('/api/v1/repositories?limit=100'))
    await observe('deletion', () => registry.expect([202], 'DELETE', `/v2/${many}/manifests/${digest}`))
    await observe('rewind', () => registry.api('POST', `${resource}/rewind`, { at: to }))
    await registry.expect([204], 'DELETE', path)
  }
  await using emptied = await start({ CAY_GC_GRACE_SECONDS: '1', CAY_GC_WINDOW_SECONDS: '1' })
  const { registry, port } = emptied
  await Bun.sleep(2500)
  const collect = () => registry.runJob('gc')
  return [...rows, await besidePulls(port, image.manifest, 'collection', collect)]
}

/** Does something while a manifest is pulled, and pushed, again and again, and returns how long these took. */
async function besidePulls(
  port: number,
  manifest: Uint8Array,
  name: string,
  act: () => Promise<unknown>,
): Promise<Row> {
  const connection = await Connection.open(port)
  const state = { isDone: false }
  const type = `Content-Type: ${manifestMediaType}\r\n`
  const push = (tag: string) =>
    connection.expect(201, 'PUT', `/v2/${beside}/manifests/${tag}`, manifest, type)
  // The first push compiles code, which is not to be measured.
  await push('v0')
  const pushing = (async () => {
    const times: number[] = []
    for (let n = 0; !state.isDone || times.length < 10; n++) {
      const began = performance.now()
      await push(`v${n % 100}`)
      times.push(performance.now() - began)
    }
    return times
  })()
  const { milliseconds, wait } = await waitsBeside(port, pulled, act)
  state.isDone = true
  const p99 = percentile(await pushing, 0.99)
  connection.close()
  return { name, value: wait, note: `in ${milliseconds.toFixed(0)} ms; p99 of pushes ${p99.toFixed(0)} ms` }
}

/** Makes the repository in a data folder: manifests without blobs, of which the first has a share of the tags. */
export function fillManyTags(data: string, tags: number): void {
  using database = new Database(join(data, 'cay.db'))
  const at = Date.now()
  const numbers = 'WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)'
  database.transaction(() => {
    const insert = 'INSERT INTO repository (name, created_at) VALUES (?, ?) RETURNING id'
    const { id } = database.query<{ id: number }, [string, number]>(insert).get(many, at) ?? { id: 0 }
    database
      .query(
        `${numbers} INSERT INTO manifest (repository_id, digest, media_type, size, pushed_at)
          SELECT ?, iif(i = 0, unhex(?), randomblob(32)), 'application/vnd.oci.image.manifest.v1+json', 2, ? FROM n`,
      )
      .run(share, id, '11'.repeat(32), at)
    database.run("INSERT OR IGNORE INTO manifest_bytes (digest, bytes) SELECT digest, x'7b7d' FROM manifest")
    database
      .query(
        `${numbers} INSERT INTO tag (repository_id, name, manifest_id, digest, updated_at)
          SELECT ?, 'v1.' || i, m.id, m.digest, ? FROM n JOIN manifest m
          ON m.id = (SELECT min(id) FROM manifest WHERE repository_id = ?) + i % ?`,
      )
      .run(tags, id, at, id, share)
    database.run(`INSERT INTO tag_history (repository_id, name, digest, act, at, address, request_id)
      SELECT repository_id, name, digest, 'manifest.push', updated_at, '127.0.0.1', 'bench' FROM tag`)
  })()
  database.run('PRAGMA wal_checkpoint(TRUNCATE)')
}
