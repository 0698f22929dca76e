import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { tryParseAlgorithm } from '../oci/digest.ts'
import type { Upload } from './blob-store.ts'
import type { UploadFile } from './digester-client.ts'
import { uuidOf } from './upload-ids.ts'

const KEY_BYTES = 32

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const HASH = /^[0-9a-f]{64}(?:[0-9a-f]{64})?$/

const ALGORITHMS = ['sha256', 'sha512'] as const

/**
 * The files of uploads, `uploads/<id>.<algorithm>`. One is there from an upload's first byte until it is published or
 * cancelled, and how long it is is how much came.
 */
export class UploadFiles {
  private readonly folder: string

  constructor(data: string) {
    this.folder = join(data, 'uploads')
    mkdirSync(this.folder, { recursive: true })
  }

  /** The secret of this data folder that upload ids are signed with; the first start makes it. */
  readKey(): Buffer {
    const path = join(this.folder, 'key')
    try {
      const known = readFileSync(path)
      // After a power loss the file may be there without its bytes.
      if (known.length === KEY_BYTES) return known
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES)))
    writeFileSync(`${path}.new.copy`, key, { mode: 0o600 })
    renameSync(`${path}.new.copy`, path)
    return key
  }

  of({ id, algorithm }: Pick<UploadFile, 'id' | 'algorithm'>): UploadFile {
    return { id, algorithm, path: join(this.folder, `${id}.${algorithm}`) }
  }

  ofUpload({ id, algorithm }: Upload): UploadFile {
    return this.of({ id: uuidOf(id), algorithm })
  }

  /** How many bytes a file has; undefined when it is not there. */
  async findSize({ path }: UploadFile): Promise<number | undefined> {
    return (await statFile(path))?.size
  }

  /** The files of clients' uploads: `limit` of those after the id `after`, in the order in which the uploads began. */
  list(after: string, limit: number): AsyncIterable<UploadFile & FileState> {
    return this.walk((id) => UUID.test(id) && id > after, limit)
  }

  /** Every file, also those of fills. */
  all(): AsyncIterable<UploadFile & FileState> {
    return this.walk(() => true, Number.POSITIVE_INFINITY)
  }

  /** The files of fills, which are named by a hash. */
  fills(): AsyncIterable<UploadFile & FileState> {
    return this.walk((id) => HASH.test(id), Number.POSITIVE_INFINITY)
  }

  private async *walk(
    isMeant: (id: string) => boolean,
    limit: number,
  ): AsyncIterable<UploadFile & FileState> {
    const names = await readdir(this.folder)
    let listed = 0
    for (const name of names.sort()) {
      const [id = '', extension = '', more] = name.split('.')
      const algorithm = tryParseAlgorithm(extension)
      if (algorithm === undefined || more !== undefined || !isMeant(id)) continue
      const file = this.of({ id, algorithm })
      const found = await statFile(file.path)
      if (found) yield { ...file, size: found.size, changedAt: Math.round(found.mtimeMs) }
      if (found && ++listed === limit) return
    }
  }

  /** The file of an id. */
  async find(id: string): Promise<UploadFile | undefined> {
    if (!UUID.test(id)) return undefined
    const files = ALGORITHMS.map((algorithm) => this.of({ id, algorithm }))
    const sizes = await Promise.all(files.map((file) => this.findSize(file)))
    return files.find((_, at) => sizes[at] !== undefined)
  }

  /** How many files there are, and their bytes; no more than `filesMax` are looked at. */
  async measure(filesMax: number): Promise<{ uploads: number; bytes: number }> {
    const sizes = await Array.fromAsync(this.list('', filesMax), ({ size }) => size)
    return { uploads: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
  }

  /**
   * Makes sure that an upload can become a blob, which is a rename.
   * @throws Error when the blobs are on another file system, or mount
   */
  requireMovesTo(blobs: string): void {
    const [from, to] = [this.folder, blobs].map((folder) => join(folder, 'probe.new.copy')) as [
      string,
      string,
    ]
    try {
      writeFileSync(from, '')
      renameSync(from, to)
    } catch (error) {
      // A full disk, for example, is no reason not to serve pulls.
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') return
      throw new Error(
        `${this.folder} and ${blobs} are on different file systems or mounts, so an upload cannot become a blob: ` +
          `mount the whole folder ${dirname(blobs)} instead`,
      )
    } finally {
      for (const path of [from, to]) rmSync(path, { force: true })
    }
  }

  /** Removes what crashes have left in the middle of a step; to be called before the first upload starts. */
  async tidy(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (name.split('.').length > 2) await rm(join(this.folder, name), { force: true })
    }
  }
}

/** How many bytes a file has, and when it last grew (milliseconds since 1970). */
export interface FileState {
  size: number
  changedAt: number
}

async function statFile(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
