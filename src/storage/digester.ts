import {
  closeSync,
  constants,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  writeSync,
} from 'node:fs'
import { promisify } from 'node:util'
import type { DigestAlgorithm } from '../oci/digest.ts'
import type { Answer, Question, ToDigester } from './digester-client.ts'

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
    switch (question.do) {
      case 'open':
        return this.open(question)
      case 'write':
        return this.write(question)
      case 'commit':
        return this.commit(question)
      case 'close':
        return this.close(question.upload)
    }
  }

  /** Opens the upload's file, or makes it; what it has is hashed again. Answers its size. */
  private async open({ upload, path, algorithm }: Question & { do: 'open' }): Promise<number> {
    const known = this.files.get(upload)
    if (known) {
      known.broken = false
      return known.size
    }
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600)
    const { size } = fstatSync(fd)
    const file: OpenFile = {
      path,
      fd,
      size,
      algorithm,
      hasher: new Bun.CryptoHasher(algorithm),
      broken: false,
    }
    try {
      if (size > 0) await readBack(file, file.hasher)
    } catch (error) {
      closeSync(fd)
      throw error
    }
    this.files.set(upload, file)
    return size
  }

  /** Writes and hashes a slot. When that fails, the file ends where it ended before. */
  private write({ upload, slot, length }: Question & { do: 'write' }): void {
    const file = this.get(upload)
    if (file.broken) throw new Error(`a write before this one to upload ${upload} failed`)
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

  /** Publishes the file as `target`: verified, synced, renamed, and its folder synced, in this order. */
  private async commit({ upload, algorithm, hex, target, folder }: Question & { do: 'commit' }) {
    const file = this.get(upload)
    const actual = await hash(file, algorithm)
    if (actual !== hex) return { size: file.size, mismatch: `${algorithm}:${actual}` }
    await syncData(file.fd)
    renameSync(file.path, target)
    this.close(upload)
    const fd = openSync(folder, constants.O_RDONLY)
    try {
      await sync(fd)
    } finally {
      closeSync(fd)
    }
    return { size: file.size }
  }

  private close(upload: string): void {
    const file = this.files.get(upload)
    if (file) closeSync(file.fd)
    this.files.delete(upload)
  }

  private get(upload: string): OpenFile {
    const file = this.files.get(upload)
    if (!file) throw new Error(`upload ${upload} is not open`)
    return file
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
