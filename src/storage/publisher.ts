import {
  closeSync,
  constants,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { Asked } from '../worker-client.ts'
import { toFileFailure } from './file-failure.ts'
import type { PublisherQuestion } from './publishers.ts'

declare const self: Worker

/** Syncs the file, gives it the blob's name, and syncs the folder, in this order. */
function publish(publication: PublisherQuestion): void {
  const { place, path, fd, keep, newFolders } = publication
  if (newFolders.length > 0) makeFolders(newFolders)
  // Opened first: a process that is out of file descriptors has not failed to sync.
  withFolder(place.folder, (folder) => {
    emptyUnless(path, () => fdatasyncSync(fd))
    if (keep) giveSecondName(publication)
    else renameSync(path, place.file)
    emptyUnless(path, () => fsyncSync(folder))
  })
}

/** Makes folders, the lowest first among them, and syncs each one's name into the folder above. */
function makeFolders(folders: string[]): void {
  for (const folder of folders) mkdirSync(folder, { recursive: true })
  for (const folder of folders) withFolder(dirname(folder), fsyncSync)
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

/** Gives the file the blob's name as a second one; without hard links, moves the file itself. */
function giveSecondName({ path, isPublished, place }: PublisherQuestion): void {
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
  // A rename between two names of one file leaves both.
  rmSync(second, { force: true })
}

self.onmessage = ({ data }: MessageEvent<Asked<PublisherQuestion>[]>) => {
  for (const { id, ...publication } of data) {
    try {
      publish(publication)
      self.postMessage([{ id }])
    } catch (error) {
      self.postMessage([{ id, failure: toFileFailure(error) }])
    }
  }
}
