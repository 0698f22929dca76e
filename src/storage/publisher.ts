import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { releaseWhenIdle } from '../runtime/idle-memory.ts'
import { type Asked, lowerPriority } from '../runtime/threads.ts'
import { toFileFailure } from './durable-file.ts'
import type { Publication, PublisherQuestion } from './publishers.ts'

declare const self: Worker

/** The names of the folders of an algorithm's blobs: two hex digits each. */
const FOLDERS = Array.from({ length: 256 }, (_, n) => n.toString(16).padStart(2, '0'))

/** Syncs the file, gives it the blob's name, and syncs the folder, in this order. */
function publish(publication: Publication): void {
  const { place, path, fd, keep } = publication
  // Opened first, so that running out of file descriptors does not count as a failed sync.
  withFolder(place.folder, (folder) => {
    emptyUnless(path, () => fdatasyncSync(fd))
    if (keep) giveSecondName(publication)
    else renameSync(path, place.file)
    emptyUnless(path, () => fsyncSync(folder))
  })
}

/** Creates all folders of an algorithm at once, with one sync instead of one each, and syncs their parents. */
function makeFolders(algorithm: string): void {
  const present = new Set(readdirSync(algorithm))
  for (const name of FOLDERS) if (!present.has(name)) mkdirSync(join(algorithm, name))
  for (const folder of [algorithm, dirname(algorithm), dirname(dirname(algorithm))]) {
    withFolder(folder, fsyncSync)
  }
}

function withFolder(path: string, work: (fd: number) => void): void {
  const fd = openSync(path, constants.O_RDONLY)
  try {
    work(fd)
  } finally {
    closeSync(fd)
  }
}

function emptyUnless(path: string, sync: () => void): void {
  try {
    sync()
  } catch (error) {
    rmSync(path, { force: true })
    closeSync(openSync(path, 'w', 0o600))
    throw error
  }
}

/** Hard-links the file to the blob's name, or renames it if the file system has no hard links. */
function giveSecondName({ path, isPublished, place }: Publication): void {
  const second = `${path}.published`
  try {
    linkSync(path, second)
  } catch {
    renameSync(path, place.file)
    return
  }
  try {
    renameSync(second, place.file)
    if (!isPublished) return
  } catch (error) {
    rmSync(second, { force: true })
    throw error
  }
  // Renaming a file to another name of the same file leaves both names.
  rmSync(second, { force: true })
}

lowerPriority()
releaseWhenIdle()

self.onmessage = ({ data }: MessageEvent<Asked<PublisherQuestion>[]>) => {
  for (const { id, ...question } of data) {
    try {
      if ('algorithm' in question) makeFolders(question.algorithm)
      else publish(question)
      self.postMessage([{ id }])
    } catch (error) {
      self.postMessage([{ id, failure: toFileFailure(error) }])
    }
  }
}
