import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import type { DigestAlgorithm } from '../oci/reference.ts'
import { turn } from '../runtime/clock.ts'
import { releaseWhenIdle } from '../runtime/idle-memory.ts'
import { type Answer, type Asked, lowerPriority } from '../runtime/threads.ts'
import { SMALL_BYTES_MAX } from './blob-store.ts'
import type { DigesterQuestion, FilledSlot, UploadFile, VerifiedFile } from './digesters.ts'
import { type FileFailure, toFileFailure } from './durable-file.ts'

declare const self: Worker

/** How many bytes of an upload are read back before other uploads of this thread get a turn. */
const READ_BACK_BYTES = 1024 * 1024

interface OpenFile {
  path: string
  fd: number
  size: number
  algorithm: DigestAlgorithm
  hasher: Bun.CryptoHasher
  isPublished: boolean
  /** Whether a write has failed. Later writes must fail, too, until the file is opened again. */
  isBroken: boolean
}

/** A digester's thread: hashes and writes the slots that the serving thread filled. It never waits for a sync. */
class Digester {
  private pool = new SharedArrayBuffer(0)
  private slotBytes = 0
  private readonly files = new Map<string, OpenFile>()

  answer(question: DigesterQuestion): Promise<unknown> | unknown {
    switch (question.do) {
      case 'use':
        this.pool = question.pool
        this.slotBytes = question.slotBytes
        return undefined
      case 'open':
        return this.open(question.upload)
      case 'write':
        for (const part of question.parts) this.write(this.get(question.upload), part)
        return undefined
      case 'verify':
        return this.verify(this.get(question.upload), question.algorithm, question.part)
      case 'close':
        return this.close(question.upload)
      case 'drop':
        this.close(question.upload)
        return rmSync(question.upload.path, { force: true })
    }
  }

  /** Opens or creates the upload's file and hashes its content. Returns its size. */
  private async open(upload: UploadFile): Promise<number> {
    const known = this.files.get(upload.id)
    if (known) {
      known.isBroken = false
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

  /** Writes and hashes a slot. If that fails, the file is truncated to its previous size. */
  private write(file: OpenFile, { slot, length }: FilledSlot): void {
    if (file.isBroken) throw new Error(`an earlier write to ${file.path} failed`)
    if (file.isPublished) separate(file)
    const bytes = new Uint8Array(this.pool, slot * this.slotBytes, length)
    try {
      let written = 0
      while (written < length) {
        written += writeSync(file.fd, bytes, written, length - written, file.size + written)
      }
    } catch (error) {
      file.isBroken = true
      ftruncateSync(file.fd, file.size)
      throw error
    }
    file.hasher.update(bytes)
    file.size += length
  }

  private async verify(
    file: OpenFile,
    algorithm: DigestAlgorithm,
    part: FilledSlot | undefined,
  ): Promise<VerifiedFile> {
    if (part) this.write(file, part)
    const { fd, size, isPublished } = file
    const bytes = size <= SMALL_BYTES_MAX ? readWhole(file) : undefined
    const hex = bytes
      ? new Bun.CryptoHasher(algorithm).update(bytes).digest('hex')
      : await hash(file, algorithm)
    return { size, hex, bytes, fd, isPublished }
  }

  private close({ id }: UploadFile): void {
    const file = this.files.get(id)
    if (file) closeSync(file.fd)
    this.files.delete(id)
  }

  /** Returns the open file. The first message about a new upload creates it. */
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
  return { path, fd, size, algorithm, hasher, isPublished: nlink > 1, isBroken: false }
}

/** Copies the file of an upload that continues after it was published, because the blob's file must not change. */
function separate(file: OpenFile): void {
  const copy = `${file.path}.copy`
  copyFileSync(file.path, copy, constants.COPYFILE_FICLONE)
  renameSync(copy, file.path)
  closeSync(file.fd)
  file.fd = openSync(file.path, constants.O_RDWR)
  file.isPublished = false
}

/** Returns the digest of the whole file. For another algorithm than the announced one, the file is read back. */
async function hash(file: OpenFile, algorithm: DigestAlgorithm): Promise<string> {
  if (algorithm === file.algorithm) return file.hasher.copy().digest('hex')
  const hasher = new Bun.CryptoHasher(algorithm)
  await readBack(file, hasher)
  return hasher.digest('hex')
}

async function readBack(file: OpenFile, hasher: Bun.CryptoHasher): Promise<void> {
  const bytes = new Uint8Array(READ_BACK_BYTES)
  for (let at = 0; at < file.size; ) {
    const length = readPart(file, bytes, at)
    hasher.update(bytes.subarray(0, length))
    at += length
    await turn()
  }
}

function readWhole(file: OpenFile): Uint8Array {
  const bytes = new Uint8Array(file.size)
  for (let at = 0; at < file.size; ) at += readPart(file, bytes.subarray(at), at)
  return bytes
}

function readPart(file: OpenFile, bytes: Uint8Array, at: number): number {
  const length = readSync(file.fd, bytes, 0, bytes.length, at)
  if (length === 0) throw new Error(`${file.path} is shorter than it was`)
  return length
}

lowerPriority()
releaseWhenIdle()

const digester = new Digester()

async function answer(question: Asked<DigesterQuestion>): Promise<void> {
  const reply = (answer: Omit<Answer<FileFailure>, 'id'>) =>
    self.postMessage([{ ...answer, id: question.id }])
  try {
    const value = digester.answer(question)
    reply({ value: value instanceof Promise ? await value : value })
  } catch (error) {
    reply({ failure: toFileFailure(error) })
  }
}

self.onmessage = ({ data }: MessageEvent<Asked<DigesterQuestion>[]>) => {
  for (const question of data) answer(question)
}
