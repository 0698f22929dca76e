import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { type Executables, startPeer } from '../../lib/peers.ts'

const manifestsARepository = 10
const manifestBytes = 600
const configBytes = 2000

/** How a data folder is filled. */
export interface Filling {
  tagsAManifest: number
  /** The size of each layer in the database. */
  layerBytes: number
}

/**
 * Makes a data folder with so many repositories of 10 manifests, in one transaction. By default, ten tags, each with its
 * history, share a manifest, which names a config and a layer of its own and a layer that its repository's others name, too.
 * There are no files of these blobs.
 */
export async function fillMetadata(
  executables: Executables,
  data: string,
  repositories: number,
  { tagsAManifest, layerBytes }: Filling = { tagsAManifest: 10, layerBytes: 30_000_000 },
): Promise<void> {
  {
    await using _ = await startPeer(executables, 'cay', { data })
  }
  const database = new Database(join(data, 'cay.db'))
  const tagsARepository = manifestsARepository * tagsAManifest
  const tags = repositories * tagsARepository
  const manifests = repositories * manifestsARepository
  const rows = {
    repositories,
    manifests,
    tags,
    tagsARepository,
    tagsAManifest,
    manifestBytes,
    configBytes,
    layerBytes,
    now: Date.now(),
  }
  // A log in a file would be as large as the database.
  database.run('PRAGMA journal_mode = MEMORY')
  database.transaction(() => {
    for (const sql of statements) database.query(sql).run(only(rows, sql))
  })()
  database.run('PRAGMA journal_mode = WAL')
  database.close()
}

const numbers = (count: string) =>
  `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ${count})`

const statements = [
  `${numbers('$repositories')} INSERT INTO repository (name, created_at)
    SELECT printf('team-%d/app-%d', i % 100, i), $now FROM n`,
  `${numbers('$manifests')} INSERT INTO manifest (id, repository_id, digest, media_type, size, pushed_at)
    SELECT i + 1, i * $tagsAManifest / $tagsARepository + 1, randomblob(32),
      'application/vnd.oci.image.manifest.v1+json', $manifestBytes, $now FROM n`,
  `${numbers('$manifests')} INSERT INTO blob (id, digest, size, stored_at, verified_at)
    SELECT 2 * i + 1 + d, randomblob(32), iif(d, $layerBytes, $configBytes), $now, $now
    FROM n JOIN (SELECT 0 AS d UNION ALL SELECT 1)`,
  `INSERT INTO repository_blob (repository_id, blob_id, linked_at)
    SELECT repository_id, 2 * manifest.id - 1 + d, $now FROM manifest JOIN (SELECT 0 AS d UNION ALL SELECT 1)`,
  `INSERT INTO manifest_reference (manifest_id, repository_id, digest, role)
    SELECT manifest.id, repository_id, blob.digest, iif(blob.id % 2, 'config', 'layer')
    FROM blob JOIN manifest ON manifest.id = (blob.id + 1) / 2`,
  `INSERT OR IGNORE INTO manifest_reference (manifest_id, repository_id, digest, role)
    SELECT manifest.id, repository_id, blob.digest, 'layer' FROM manifest JOIN blob
    ON blob.id = 2 * ((repository_id - 1) * ($tagsARepository / $tagsAManifest) + 1)`,
  'INSERT INTO manifest_bytes (digest, bytes) SELECT digest, randomblob($manifestBytes) FROM manifest',
  `${numbers('$tags')} INSERT INTO tag (repository_id, name, manifest_id, digest, updated_at)
    SELECT repository_id, printf('v1.%d', i % $tagsARepository), id, digest, $now
    FROM n JOIN manifest ON id = i / $tagsAManifest + 1`,
  `INSERT INTO tag_history (repository_id, name, digest, act, at, address, request_id)
    SELECT repository_id, name, digest, 'manifest.push', updated_at, '127.0.0.1', 'bench' FROM tag`,
]

/** The parameters that a statement names. */
function only(rows: Record<string, number>, sql: string): Record<string, number> {
  const named = Object.entries(rows).filter(([name]) => new RegExp(`\\$${name}\\b`).test(sql))
  return Object.fromEntries(named.map(([name, value]) => [`$${name}`, value]))
}
