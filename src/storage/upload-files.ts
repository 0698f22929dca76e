import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { findAlgorithm } from '../oci/digest.ts'
import type { UploadFile } from './digester-client.ts'

const KEY_BYTES = 32

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

  /** How many bytes a file has; undefined when it is not there. */
  async findSize({ path }: UploadFile): Promise<number | undefined> {
    return (await statFile(path))?.size
  }

  /** Every file, with when it last grew (milliseconds since 1970). */
  async *list(): AsyncIterable<UploadFile & { changedAt: number }> {
    for (const name of await readdir(this.folder)) {
      const [id = '', extension = '', more] = name.split('.')
      const algorithm = findAlgorithm(extension)
      if (algorithm === undefined || more !== undefined) continue
      const file = this.of({ id, algorithm })
      const found = await statFile(file.path)
      if (found) yield { ...file, changedAt: found.mtimeMs }
    }
  }

  /** Removes what crashes have left in the middle of a step; to be called before the first upload starts. */
  async tidy(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      if (name.split('.').length > 2) await rm(join(this.folder, name), { force: true })
    }
  }
}

async function statFile(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
