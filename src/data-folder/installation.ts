import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Metadata } from '../metadata/metadata.ts'
import { writeDurably } from '../storage/durable-file.ts'

/** The fact in the database that holds the id of its installation. */
const FACT = 'installation'

/** The folders of one installation. */
export interface Folders {
  /** Blobs, uploads and certificates. */
  data: string
  /** The database; the same folder unless the setting `metadata` names another one. */
  metadata: string
}

/**
 * Refuses to create an empty database for a data folder that already has one: all its blobs would look like garbage.
 *
 * @throws Error that says which folder is missing
 */
export function refuseLostDatabase({ data, metadata }: Folders): void {
  if (existsSync(join(metadata, 'cay.db'))) return
  if (readId(data) === undefined && !hasBlobs(data)) return
  throw new Error(`${metadata} has no database, but ${data} holds the blobs of one: ${whatToDo(data)}`)
}

/**
 * Checks that the data folder and the database have the same installation id. A new installation, or one that an
 * earlier version created, is given an id. The folder gets it first, so a crash never leaves a database bound to a
 * folder without the id.
 *
 * @throws Error that names both folders when they do not belong together
 */
export async function joinInstallation(
  { data, metadata: folder }: Folders,
  metadata: Metadata,
): Promise<void> {
  const [inData, inDatabase] = [readId(data), metadata.credentials.fact(FACT)]
  if (inData !== undefined && inData === inDatabase) return
  const isUnused = (await metadata.storage.totals()).blobs === 0
  if (inData !== undefined && inDatabase !== undefined) {
    throw new Error(
      `the data folder ${data} belongs to installation ${inData}, but the database in ${folder} belongs to ` +
        `${inDatabase}: pass two folders of the same installation with --data and --metadata`,
    )
  }
  if (inDatabase !== undefined && !isUnused) {
    throw new Error(
      `the database in ${folder} belongs to installation ${inDatabase}, but the data folder ${data} does not: pass ` +
        `its data folder with --data; if you restored this folder without the file "installation", put it back: ` +
        `echo ${inDatabase} > ${pathIn(data)}`,
    )
  }
  if (inDatabase === undefined && isUnused && hasBlobs(data)) {
    throw new Error(
      `the database in ${folder} is empty, but ${data} holds the blobs of one: ${whatToDo(data)}`,
    )
  }
  const id = inDatabase ?? inData ?? crypto.randomUUID()
  await writeDurably(pathIn(data), `${id}\n`, 0o600)
  await metadata.write('addFact', { name: FACT, value: id })
}

function whatToDo(data: string): string {
  return (
    'pass the folder of its database with --metadata, or restore cay.db from a backup; to start with an empty ' +
    `registry, choose another folder with --data, or move ${join(data, 'blobs')} and ${pathIn(data)} away`
  )
}

function pathIn(data: string): string {
  return join(data, 'installation')
}

function readId(data: string): string | undefined {
  const path = pathIn(data)
  return existsSync(path) ? readFileSync(path, 'utf8').trim() || undefined : undefined
}

/** Reports whether there is a file in `blobs/<algorithm>/<2 hex>/`. */
function hasBlobs(data: string): boolean {
  const below = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(folder, name))
  const blobs = join(data, 'blobs')
  if (!existsSync(blobs)) return false
  return below(blobs).some((algorithm) => below(algorithm).some((folder) => readdirSync(folder).length > 0))
}
