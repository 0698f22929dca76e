import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { type Peer, registryConfig } from '../lib/peers.ts'
import { manifestMediaType, type Registry } from '../lib/registry.ts'
import { type Bench, type Case, type Figures, most } from './case.ts'
import { manifestOf, paced, publish, wrk, wrkDuring } from './load.ts'

const garbage = 100
const registryImages = 1000
const collected = 'bench/garbage'
const collecting = { CAY_GC_GRACE_SECONDS: '1', CAY_GC_WINDOW_SECONDS: '1' }
/** So long after a deletion, what is deleted can be collected. */
const graceMs = 2500

/**
 * Without pauses, small pulls would keep two cores busy, and cause so much garbage collection that they would wait more
 * than 10 ms without any other work.
 */
const pulls = { script: paced(1) }

const expiring = 1000
const expiryDays = 30
/** The tags expire so long after the folder was filled: after the first run, which looks at everything. */
const expiryMs = 45_000

/** The repository with very many tags, which its manifests share evenly. One of these is deleted, and comes back. */
export const many = 'bench/many'
const manyManifests = 10
const deletedHex = '11'.repeat(32)
const manyPath = `/repositories/${encodeURIComponent(many)}`
/** Work on it, beside pulls and pushes elsewhere. */
const manyActs: Record<string, (registry: Registry, filledAt: string) => Promise<unknown>> = {
  nothing: () => Bun.sleep(2000),
  'search for tags': (registry) => registry.get(`/api/v1${manyPath}/tags?q=none&limit=100`),
  repository: (registry) => registry.get(`/api/v1${manyPath}`),
  repositories: (registry) => registry.get('/api/v1/repositories?limit=100'),
  deletion: (registry) => registry.expect([202], 'DELETE', `/v2/${many}/manifests/sha256:${deletedHex}`),
  rewind: (registry, at) => registry.api('POST', `${manyPath}/rewind`, { at }),
  collection: (registry) => registry.runJob('gc'),
}
const elsewhere = 'bench/beside'

const listed = encodeURIComponent('team-42/app-942')
/** Lists and searches, by what they list. */
const lists = {
  'GET /v2/_catalog': '/v2/_catalog?n=100&last=team-50/app-5000',
  'tags/list': '/v2/team-42/app-942/tags/list?n=100',
  repositories: '/api/v1/repositories?limit=100',
  'search for repositories': '/api/v1/repositories?q=app-42&limit=100',
  'search by two letters': '/api/v1/repositories?q=42&limit=100',
  repository: `/api/v1/repositories/${listed}`,
  tags: `/api/v1/repositories/${listed}/tags?limit=100`,
  'tags by time': `/api/v1/repositories/${listed}/tags?sort=updated&order=desc&limit=100`,
  'search for tags': `/api/v1/repositories/${listed}/tags?q=9&limit=100`,
  manifests: `/api/v1/repositories/${listed}/manifests?limit=100`,
  'history of a repository': `/api/v1/repositories/${listed}/history?limit=100`,
  'storage by repository': '/api/v1/storage/repositories',
  storage: '/api/v1/storage',
  events: '/api/v1/events?limit=100',
  candidates: '/api/v1/gc/candidates?limit=100',
}

/** A registry of very many repositories or tags: what takes how long, and how long pulls wait meanwhile. */
export const fullRegistryCases: Case[] = [
  {
    name: 'lists',
    title: ({ repositories }) => `lists and searches over ${repositories} repositories of 100 tags`,
    goals: Object.keys(lists).map((name) => most(`${name}, p99 ms`, 20)),
    prepare: async (bench) => async (name) => {
      const { origin } = await bench.start(name, { data: await filledFolder(bench, name) })
      return async () => {
        const figures: Figures = {}
        for (const [name, path] of Object.entries(lists)) {
          const { p99 } = await wrk(origin + path, { connections: 2 }, bench.scale.seconds)
          figures[`${name}, p99 ms`] = p99
        }
        return figures
      }
    },
  },
  {
    name: 'collection',
    title: ({ repositories }) =>
      `${garbage} manifests collected: of ${repositories} repositories of 100 tags, while cay serves, ` +
      `and of ${registryImages} images of docker-registry, which is stopped`,
    beside: ['docker-registry'],
    goals: [
      most('all, ms', 0.5, 'docker-registry'),
      most('all, ms', 1000),
      most('longest wait of a pull, ms', 20),
    ],
    once: (bench, name) => (name === 'docker-registry' ? collectOther(bench) : collect(bench, name)),
  },
  {
    name: 'retention',
    title: ({ repositories }) => `${expiring} tags expired, of ${repositories} repositories of 100 tags`,
    goals: [
      most('expiry, ms', 2000),
      most('longest wait of a pull, expiry, ms', 10),
      most('longest wait of a pull, first run, ms', 10),
    ],
    once: measureRetention,
  },
  {
    name: 'many-tags',
    title: (scale) =>
      `longest wait of a pull elsewhere, beside work on a repository of ${scale.repositories * 100} tags`,
    goals: Object.keys(manyActs)
      .slice(1)
      .map((name) => most(`${name}, ms`, 10)),
    once: measureManyTags,
  },
]

/** Pushes what becomes garbage, takes its tags away, and has it collected while a manifest is pulled all the time. */
async function collect(bench: Bench, name: string): Promise<Figures> {
  const data = await filledFolder(bench, name)
  // The window is a second here: what has been within it for weeks would be collected, too.
  change(data, ['DELETE FROM tag_history'])
  const peer = await bench.start(name, { data, env: collecting })
  const { registry } = await warmed(peer)
  const pieces = await bench.random.pieces(garbage + 1, 1024)
  for (const [i, piece] of pieces.entries()) await publish(peer, collected, piece, `v${i}`)
  for (let i = 0; i < garbage; i++) await registry.expect([202], 'DELETE', `/v2/${collected}/manifests/v${i}`)
  await Bun.sleep(graceMs)
  const pulled = `${peer.origin}/v2/${collected}/manifests/v${garbage}`
  const { result, sent } = await wrkDuring(pulled, {}, async () => {
    const manifests = await timed(() => registry.runJob('gc'))
    await Bun.sleep(graceMs)
    return { manifests, blobs: await timed(() => registry.runJob('gc')) }
  })
  return {
    'all, ms': result.manifests + result.blobs,
    'manifests, ms': result.manifests,
    'blobs, ms': result.blobs,
    'longest wait of a pull, ms': sent.max,
  }
}

/** docker-registry collects while it does not run, and walks over everything. */
async function collectOther(bench: Bench): Promise<Figures> {
  const data = await bench.folder()
  const peer = await bench.start('docker-registry', { data })
  // The last images take their tags from the first ones.
  for (const [i, piece] of (await bench.random.pieces(registryImages, 1024)).entries())
    await publish(peer, collected, piece, `v${i % (registryImages - garbage)}`)
  await peer[Symbol.asyncDispose]()
  const config = join(data, 'config.yml')
  await Bun.write(config, registryConfig(data, 0))
  const command = [bench.executables['docker-registry'] ?? '', 'garbage-collect', '--delete-untagged', config]
  return { 'all, ms': await timed(() => runCommand(command, { secondsMax: 600 })) }
}

async function measureRetention(bench: Bench, name: string): Promise<Figures> {
  const data = await filledFolder(bench, name)
  const expireAt = Date.now() + expiryMs
  // Makes one tag of each of the first repositories, with its manifest, as old as that.
  const at = expireAt - expiryDays * 86_400_000
  const first = `SELECT repository_id, min(name) FROM tag WHERE repository_id <= ${expiring} GROUP BY repository_id`
  const old = `SELECT manifest_id FROM tag WHERE (repository_id, name) IN (${first})`
  change(data, [
    `UPDATE manifest SET pushed_at = ${at} WHERE id IN (${old})`,
    `UPDATE tag SET updated_at = ${at} WHERE (repository_id, name) IN (${first})`,
  ])
  const peer = await bench.start(name, { data })
  const { registry } = await warmed(peer)
  await registry.api('PUT', '/retention/policies/all', { repositories: ['**'], pushedDays: expiryDays })
  const pulled = `${peer.origin}/v2/team-0/app-0/tags/list?n=1`
  const ids: string[] = []
  const apply = () => timed(async () => ids.push(await registry.runJob('retain')))
  const alone = await wrk(pulled, pulls, bench.scale.seconds)
  const run = await wrkDuring(pulled, pulls, apply)
  await Bun.sleep(Math.max(0, expireAt + 1000 - Date.now()))
  const expiry = await wrkDuring(pulled, pulls, apply)
  const { result } = await registry.api<{ result: { tags: number } }>('GET', `/jobs/${ids.at(-1)}`)
  if (result.tags !== expiring) throw new Error(`${result.tags} tags expired, not ${expiring}`)
  return {
    'expiry, ms': expiry.result,
    'longest wait of a pull, expiry, ms': expiry.sent.max,
    'first run, ms': run.result,
    'longest wait of a pull, first run, ms': run.sent.max,
    'longest wait of a pull, alone, ms': alone.max,
  }
}

async function measureManyTags(bench: Bench, name: string): Promise<Figures> {
  const data = await bench.folder()
  const [image] = await bench.random.pieces(1, 1024)
  const empty = await bench.start(name, { data })
  const { tag } = await publish(empty, elsewhere, image!)
  await empty[Symbol.asyncDispose]()
  fillManyTags(data, bench.scale.repositories * 100)
  const figures: Figures = {}
  const pushes = { script: pushingTags(manifestOf(image!)) }
  let peer = await warmed(await bench.start(name, { data }))
  const filledAt = new Date().toISOString()
  for (const [what, act] of Object.entries(manyActs)) {
    if (what === 'collection') {
      await peer.registry.expect([204], 'DELETE', `/api/v1${manyPath}`)
      await peer[Symbol.asyncDispose]()
      peer = await warmed(await bench.start(name, { data, env: collecting }))
      await Bun.sleep(graceMs)
    }
    // The first push compiles code, which is not to be measured.
    await wrk(peer.origin, pushes, 0.2)
    const pull = () => wrkDuring(peer.origin + tag, pulls, () => timed(() => act(peer.registry, filledAt)))
    const { result, sent } = await wrkDuring(peer.origin, pushes, pull)
    figures[`${what}, ms`] = result.sent.max
    figures[`${what}: itself, ms`] = result.result
    figures[`${what}: p99 of pushes, ms`] = sent.p99
  }
  return figures
}

/** A script of wrk that pushes one manifest under 100 tags in turn. */
function pushingTags(manifest: Uint8Array): string {
  return `local n = 0
wrk.headers["Content-Type"] = "${manifestMediaType}"
function request()
  n = (n + 1) % 100
  return wrk.format("PUT", "/v2/${elsewhere}/manifests/v" .. n, nil, [==[${new TextDecoder().decode(manifest)}]==])
end
`
}

/** Lets a server load its admin API, which is not to be measured. */
async function warmed(peer: Peer): Promise<Peer> {
  await peer.registry.get('/api/v1/jobs')
  return peer
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** Runs statements in the database of a stopped server. */
export function change(data: string, statements: string[]): void {
  using database = new Database(join(data, 'cay.db'))
  // A log in a file would be as large as the database.
  database.run('PRAGMA journal_mode = MEMORY')
  database.transaction(() => {
    for (const sql of statements) database.run(sql)
  })()
  database.run('PRAGMA journal_mode = WAL')
}

/** How a data folder is filled. */
interface Filling {
  tagsAManifest: number
  layerBytes: number
  /** The folder to make it in. */
  parent?: string
}

/**
 * Makes a data folder of the scale's repositories, each with 10 manifests. By default, ten tags, each with its history,
 * share a manifest, which names a config and a layer of its own and a layer that its repository's others name, too. There
 * are no files of these blobs.
 */
export async function filledFolder(
  bench: Bench,
  name: string,
  { tagsAManifest, layerBytes, parent }: Filling = { tagsAManifest: 10, layerBytes: 30_000_000 },
): Promise<string> {
  const data = await bench.folder(parent)
  await (await bench.start(name, { data }))[Symbol.asyncDispose]()
  const { repositories } = bench.scale
  const now = Date.now()
  change(data, [
    `INSERT INTO repository (name, created_at)
      SELECT printf('team-%d/app-%d', i % 100, i), ${now} FROM ${numbers(repositories)}`,
    `INSERT INTO manifest (id, repository_id, digest, media_type, size, pushed_at)
      SELECT i + 1, i / 10 + 1, randomblob(32), '${manifestMediaType}', 600, ${now} FROM ${numbers(repositories * 10)}`,
    `INSERT INTO blob (id, digest, size, stored_at, verified_at)
      SELECT i + 1, randomblob(32), iif(i % 2, ${layerBytes}, 2000), ${now}, ${now} FROM ${numbers(repositories * 20)}`,
    `INSERT INTO repository_blob (repository_id, blob_id, linked_at) SELECT (id - 1) / 20 + 1, id, ${now} FROM blob`,
    `INSERT INTO manifest_reference (manifest_id, repository_id, digest, role)
      SELECT (id + 1) / 2, (id - 1) / 20 + 1, digest, iif(id % 2, 'config', 'layer') FROM blob`,
    `INSERT OR IGNORE INTO manifest_reference (manifest_id, repository_id, digest, role)
      SELECT manifest.id, repository_id, blob.digest, 'layer' FROM manifest JOIN blob
      ON blob.id = 2 * ((repository_id - 1) * 10 + 1)`,
    'INSERT INTO manifest_bytes (digest, bytes) SELECT digest, randomblob(600) FROM manifest',
    `INSERT INTO tag (repository_id, name, manifest_id, digest, updated_at)
      SELECT repository_id, printf('v1.%d', i % ${10 * tagsAManifest}), id, digest, ${now}
      FROM ${numbers(repositories * 10 * tagsAManifest)} JOIN manifest ON id = i / ${tagsAManifest} + 1`,
    tagHistory,
  ])
  return data
}

/** Makes the repository of many tags in a data folder. Its manifests have no blobs. */
export function fillManyTags(data: string, tags: number): void {
  const repository = `(SELECT id FROM repository WHERE name = '${many}')`
  const now = Date.now()
  change(data, [
    `INSERT INTO repository (name, created_at) VALUES ('${many}', ${now})`,
    `INSERT INTO manifest (repository_id, digest, media_type, size, pushed_at)
      SELECT ${repository}, iif(i = 0, x'${deletedHex}', randomblob(32)), '${manifestMediaType}', 2, ${now}
      FROM ${numbers(manyManifests)}`,
    "INSERT OR IGNORE INTO manifest_bytes (digest, bytes) SELECT digest, x'7b7d' FROM manifest",
    `INSERT INTO tag (repository_id, name, manifest_id, digest, updated_at)
      SELECT repository_id, 'v1.' || i, id, digest, ${now} FROM ${numbers(tags)} JOIN manifest
      ON id = (SELECT min(id) FROM manifest WHERE repository_id = ${repository}) + i % ${manyManifests}`,
    `${tagHistory} WHERE repository_id = ${repository}`,
  ])
}

/** A table of the numbers `i` from 0. */
function numbers(count: number): string {
  return `(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${count}) SELECT i FROM n)`
}

const tagHistory = `INSERT INTO tag_history (repository_id, name, digest, act, at, address, request_id)
  SELECT repository_id, name, digest, 'manifest.push', updated_at, '127.0.0.1', 'bench' FROM tag`
