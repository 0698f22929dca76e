import { Database } from 'bun:sqlite'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigestOf } from '../../scripts/lib/image.ts'

/**
 * What is wrong in a data folder, whose server may run but has nothing to do: the database's own checks, and the bytes of
 * each blob that it names.
 *
 * @param hashed blobs whose bytes need not be read again; those that were read are added
 */
export async function checkDataFolder(data: string, hashed = new Set<string>()): Promise<string[]> {
  const faults = checkDatabase(data)
  using database = new Database(join(data, 'cay.db'), { readonly: true })
  const rows = database
    .query<BlobRow, []>('select digest, size, bytes from blob left join blob_bytes on blob_id = id')
    .all()
  for (const { digest, size, bytes } of rows) {
    const hex = Buffer.from(digest).toString('hex')
    const algorithm = digest.length === 64 ? 'sha512' : 'sha256'
    if (bytes) {
      const isWhole = bytes.length === size && isDigestOf(`${algorithm}:${hex}`, bytes)
      if (!isWhole) faults.push(`${algorithm}:${hex} has other bytes in the database`)
      continue
    }
    faults.push(...(await checkBlob(join(data, 'blobs', algorithm, hex.slice(0, 2), hex), size, hashed)))
  }
  return faults
}

interface BlobRow {
  digest: Uint8Array
  size: number
  /** Of a small blob. */
  bytes: Uint8Array | null
}

/** Returns what SQLite's own checks report, and rows that refer to missing rows. */
export function checkDatabase(data: string): string[] {
  using database = new Database(join(data, 'cay.db'), { readonly: true })
  const integrity = database.query<{ integrity_check: string }, []>('PRAGMA integrity_check').all()
  const faults = integrity.map((row) => row.integrity_check).filter((message) => message !== 'ok')
  const dangling = database.query('PRAGMA foreign_key_check').all()
  faults.push(...dangling.map((row) => `foreign key: ${JSON.stringify(row)}`))
  const bare = 'select count(*) as n from manifest where digest not in (select digest from manifest_bytes)'
  const { n } = database.query<{ n: number }, []>(bare).get() ?? { n: 0 }
  if (n > 0) faults.push(`${n} manifests have no bytes`)
  return faults
}

async function checkBlob(file: string, size: number, hashed: Set<string>): Promise<string[]> {
  if (!existsSync(file)) return [`${file} is missing`]
  const actual = (await stat(file)).size
  if (actual !== size) return [`${file} has ${actual} bytes, not ${size}`]
  if (hashed.has(file)) return []
  hashed.add(file)
  const [algorithm, , hex] = file.split('/').slice(-3)
  const bytes = await Bun.file(file).bytes()
  return isDigestOf(`${algorithm}:${hex}`, bytes) ? [] : [`${file} has other bytes`]
}
