import {
  closeSync,
  constants,
  copyFileSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { promisify } from 'node:util'
import type { DigestAlgorithm } from '../oci/digest.ts'
import type { Answer, Committed, Publication, Question, ToDigester, UploadFile } from './digester-client.ts'
import type { FilledSlot } from './slot-pool.ts'

declare const self: Worker

/** Bytes of an upload that are read back in one turn, so that other uploads of this thread go on between. */
const READ_BACK_BYTES = 1024 * 1024

const syncData = promisify(fdatasync)
const sync = promisify(fsync)
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

interface OpenFile {
  path: string
  fd: number
  size: number
  algorithm: DigestAlgorithm
  hasher: Bun.CryptoHasher
  /** The file is a published blob, too: it was published before, but its row was not written. */
  published: boolean
  /** A write has failed: those that were sent after it must fail too, until the file is opened again. */
  broken: boolean
}

/** A digester's thread: hashes and writes what the serving thread put into the pool's slots. */
class Digester {
  private readonly pool: SharedArrayBuffer
  private readonly slotBytes: number
  private readonly files = new Map<string, OpenFile>()

  constructor(pool: SharedArrayBuffer, slotBytes: number) {
    this.pool = pool
    this.slotBytes = slotBytes
  }

  answer(question: Question): Promise<unknown> | unknown {
    const { upload } = question
    switch (question.do) {
      case 'open':
        return this.open(upload)
      case 'write':
        return this.write(this.get(upload), question.part)
      case 'commit':
        return this.commit(upload, question.publication, question.part)
      case 'close':
        return this.close(upload)
      case 'drop':
        return this.drop(upload)
    }
  }

  /** Opens the upload's file, or makes it; what it has is hashed again. Answers its size. */
  private async open(upload: UploadFile): Promise<number> {
    const known = this.files.get(upload.id)
    if (known) {
      known.broken = false
      return known.size
    }
    const file = openFile(upload)
    try {
      if (file.size > 0) await readBack(file, file.hasher)
    } catch (error) {
      closeSync(file.fd)
      throw error
    }
    this.files.set(upload.id, file)
    return file.size
  }

  /** Writes and hashes a slot. When that fails, the file ends where it ended before. */
  private write(file: OpenFile, { slot, length }: FilledSlot): void {
    if (file.broken) throw new Error(`a write before this one to ${file.path} failed`)
    if (file.published) separate(file)
    const bytes = new Uint8Array(this.pool, slot * this.slotBytes, length)
    try {
      let written = 0
      while (written < length) {
        written += writeSync(file.fd, bytes, written, length - written, file.size + written)
      }
    } catch (error) {
      file.broken = true
      ftruncateSync(file.fd, file.size)
      throw error
    }
    file.hasher.update(bytes)
    file.size += length
  }

  /**
   * Publishes the file as `target`: verified, synced, renamed, and its folder synced, in this order. An upload with
   * acknowledged bytes keeps its file until the blob is named; a sync that fails empties it, since a second one would
   * report success.
   */
  private async commit(
    upload: UploadFile,
    publication: Publication,
    part: FilledSlot | undefined,
  ): Promise<Committed> {
    const { algorithm, hex, target, folder, keep } = publication
    const file = this.get(upload)
    if (part) this.write(file, part)
    const actual = await hash(file, algorithm)
    if (actual !== hex) return { size: file.size, mismatch: `${algorithm}:${actual}` }
    const emptyAfter = (error: unknown): never => {
      this.empty(upload)
      throw error
    }
    await syncData(file.fd).catch(emptyAfter)
    if (keep) publish(file, target)
    else renameSync(file.path, target)
    await syncFolder(folder).catch(emptyAfter)
    this.close(upload)
    return { size: file.size }
  }

  private drop(upload: UploadFile): void {
    this.close(upload)
    rmSync(upload.path, { force: true })
  }

  private empty(upload: UploadFile): void {
    this.drop(upload)
    closeSync(openFile(upload).fd)
  }

  private close({ id }: UploadFile): void {
    const file = this.files.get(id)
    if (file) closeSync(file.fd)
    this.files.delete(id)
  }

  /** The open file; a new upload's is made by the first question about it. */
  private get(upload: UploadFile): OpenFile {
    const known = this.files.get(upload.id)
    if (known) return known
    const file = openFile(upload)
    this.files.set(upload.id, file)
    if (file.size > 0) throw new Error(`${upload.path} has bytes that were not hashed`)
    return file
  }
}

function openFile({ path, algorithm }: UploadFile): OpenFile {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
  const { size, nlink } = fstatSync(fd)
  const hasher = new Bun.CryptoHasher(algorithm)
  return { path, fd, size, algorithm, hasher, published: nlink > 1, broken: false }
}

/** Gives the file a second name and moves that to `target`; without hard links, moves the file itself. */
function publish({ path, published }: OpenFile, target: string): void {
  const second = `${path}.published`
  try {
    linkSync(path, second)
  } catch {
    renameSync(path, target)
    return
  }
  try {
    renameSync(second, target)
    if (!published) return
  } catch (error) {
    rmSync(second, { force: true })
    throw error
  }
  // A rename between two names of one file leaves both.
  rmSync(second, { force: true })
}

/** Gives an upload that goes on after it was published a file of its own: the blob's must not change. */
function separate(file: OpenFile): void {
  const copy = `${file.path}.copy`
  copyFileSync(file.path, copy, constants.COPYFILE_FICLONE)
  renameSync(copy, file.path)
  closeSync(file.fd)
  file.fd = openSync(file.path, constants.O_RDWR)
  file.published = false
}

async function syncFolder(folder: string): Promise<void> {
  const fd = openSync(folder, constants.O_RDONLY)
  try {
    await sync(fd)
  } finally {
    closeSync(fd)
  }
}

/** The hash of all that the file has; one of another algorithm than was announced is made by reading it back. */
async function hash(file: OpenFile, algorithm: DigestAlgorithm): Promise<string> {
  if (algorithm === file.algorithm) return file.hasher.copy().digest('hex')
  const hasher = new Bun.CryptoHasher(algorithm)
  await readBack(file, hasher)
  return hasher.digest('hex')
}

async function readBack(file: OpenFile, hasher: Bun.CryptoHasher): Promise<void> {
  const bytes = new Uint8Array(READ_BACK_BYTES)
  for (let at = 0; at < file.size; ) {
    const length = readSync(file.fd, bytes, 0, bytes.length, at)
    if (length === 0) throw new Error(`${file.path} is shorter than it was`)
    hasher.update(bytes.subarray(0, length))
    at += length
    await turn()
  }
}

self.onmessage = ({ data }: MessageEvent<ToDigester>) => {
  if (!('pool' in data)) return
  const digester = new Digester(data.pool, data.slotBytes)
  const reply = (answer: Answer) => self.postMessage(answer)
  self.onmessage = async ({ data: question }: MessageEvent<ToDigester>) => {
    if ('pool' in question) return
    const { id } = question
    try {
      const value = digester.answer(question)
      reply({ id, value: value instanceof Promise ? await value : value })
    } catch (error) {
      const { message, code } = error as NodeJS.ErrnoException
      reply({ id, error: message, ...(code === undefined ? {} : { code }) })
    }
  }
}
