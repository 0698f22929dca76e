import { timingSafeEqual } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type DigestAlgorithm, tryParseAlgorithm } from '../oci/reference.ts'
import { ownText } from '../runtime/clock.ts'
import type { Upload } from './blob-store.ts'
import type { UploadFile } from './digesters.ts'

const KEY_BYTES = 32

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** The id of a fill: the hash of its blob, and its upstream. */
const FILL = /^[0-9a-f]{64}(?:[0-9a-f]{64})?@/

/** The id of a fill in an older data folder, which does not say which upstream sent its bytes. */
const FILL_WITHOUT_UPSTREAM = /^[0-9a-f]{64}(?:[0-9a-f]{64})?$/

const ALGORITHMS = ['sha256', 'sha512'] as const

/**
 * The files of uploads, `uploads/<id>.<algorithm>`. A file exists from the upload's first byte until it is published or
 * cancelled. Its length is the number of bytes received.
 */
export class UploadFiles {
  private readonly folder: string

  constructor(data: string) {
    this.folder = join(data, 'uploads')
    mkdirSync(this.folder, { recursive: true })
  }

  /** Returns this data folder's secret for signing upload ids. The first start creates it. */
  readKey(): Buffer {
    const path = join(this.folder, 'key')
    try {
      const known = readFileSync(path)
      // After a power loss, the file may exist without its bytes.
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

  /** Returns the size of a file in bytes; undefined if it does not exist. */
  async findSize({ path }: UploadFile): Promise<number | undefined> {
    return (await statFile(path))?.size
  }

  /** Returns at most `limit` files of clients' uploads after the id `after`, oldest first. */
  list(after: string, limit: number): AsyncIterable<UploadFile & FileState> {
    return this.walk((id) => UUID.test(id) && id > after, limit)
  }

  /** Returns all files except those of fills. */
  clients(): AsyncIterable<UploadFile & FileState> {
    return this.walk((id) => !FILL.test(id), Number.POSITIVE_INFINITY)
  }

  /** Returns the files of fills. */
  fills(): AsyncIterable<UploadFile & FileState> {
    return this.walk((id) => FILL.test(id), Number.POSITIVE_INFINITY)
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

  /** Returns the file of an id. */
  async find(id: string): Promise<UploadFile | undefined> {
    if (!UUID.test(id)) return undefined
    const files = ALGORITHMS.map((algorithm) => this.of({ id, algorithm }))
    const sizes = await Promise.all(files.map((file) => this.findSize(file)))
    return files.find((_, at) => sizes[at] !== undefined)
  }

  /** Returns the number of files and their bytes. At most `filesMax` are examined. */
  async measure(filesMax: number): Promise<{ uploads: number; bytes: number }> {
    const sizes = await Array.fromAsync(this.list('', filesMax), ({ size }) => size)
    return { uploads: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) }
  }

  /**
   * Checks that an upload can become a blob, which needs a rename.
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
      // Other errors, such as a full disk, must not prevent pulls.
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') return
      throw new Error(
        `${this.folder} and ${blobs} are on different file systems or mounts, so an upload cannot become a blob: ` +
          `mount the whole folder ${dirname(blobs)} instead`,
      )
    } finally {
      for (const path of [from, to]) rmSync(path, { force: true })
    }
  }

  /**
   * Removes the temporary files that crashes left behind, and partial blobs of unknown upstreams, which are fetched again.
   * Call it before the first upload starts.
   */
  async tidy(): Promise<void> {
    for (const name of await readdir(this.folder)) {
      const [id = '', ...extensions] = name.split('.')
      const isLeft = extensions.length > 1 || (extensions.length === 1 && FILL_WITHOUT_UPSTREAM.test(id))
      if (isLeft) await rm(join(this.folder, name), { force: true })
    }
  }
}

/** The size of a file in bytes, and when it last grew (milliseconds since 1970). */
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

/** `<uuid>~<algorithm>~<signature>`, in characters that a path need not encode. */
const GRAMMAR = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})~(sha\d{3})~([\w-]{22})$/

/** The bytes of a signature, as many as the random part of the id has. */
const SIGNATURE_BYTES = 16

/**
 * Makes and reads ids that contain what an upload is: its start time, its algorithm, and a signature for its scope. So
 * starting an upload needs no write, and uploads survive a restart.
 */
export class UploadIds {
  private readonly key: Buffer

  constructor(key: Buffer) {
    this.key = key
  }

  make(scope: string, algorithm: DigestAlgorithm): Upload {
    const uuid = Bun.randomUUIDv7()
    return { id: `${uuid}~${algorithm}~${this.sign(uuid, scope, algorithm)}`, scope, algorithm }
  }

  /** Returns the upload of an id; undefined if the id was not issued here for this scope. */
  parse(scope: string, id: string): Upload | undefined {
    const [, uuid = '', name = '', signature = ''] = GRAMMAR.exec(id) ?? []
    const algorithm = tryParseAlgorithm(name)
    if (algorithm === undefined) return undefined
    const expected = this.sign(uuid, scope, algorithm)
    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) return undefined
    return { id: ownText(id), scope: ownText(scope), algorithm }
  }

  private sign(uuid: string, scope: string, algorithm: DigestAlgorithm): string {
    const hmac = new Bun.CryptoHasher('sha256', this.key).update(`${uuid} ${algorithm} ${scope}`).digest()
    return hmac.subarray(0, SIGNATURE_BYTES).toString('base64url')
  }
}

/** The suffix of the id of a fill, after the hash and the upstream that name its file. No client's id ends with it. */
export const FILL_SUFFIX = '~fill'

/** Returns the name of the upload's file. */
export function uuidOf(id: string): string {
  return id.slice(0, id.indexOf('~'))
}

/** Returns when an upload began, in milliseconds since 1970: the first 48 bits of its id (RFC 9562, 5.7). */
export function beganAt(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
