import { resolve } from 'node:path'
import { SYSTEM } from '../access/access.ts'
import type { Config } from '../config/schema.ts'
import type { Jobs, JobWork } from '../jobs/jobs.ts'
import { registryError } from '../oci/error.ts'
import type { BackedUp, BackupOptions } from './backup.ts'
import { newestSnapshot } from './folder.ts'

/** Returns a backup into the configured folder as the work of a job; undefined without such a folder. */
export function backupJob(config: Config, now: () => number): JobWork | undefined {
  const { folder, keep, withCache } = config.backup
  if (folder === undefined) return undefined
  const data = resolve(config.data)
  const metadata = resolve(config.metadata ?? config.data)
  const options = { data, metadata, target: resolve(folder), keep, withCache }
  return async ({ signal, progress }) => {
    const made = await backUpInThread({ ...options, at: now(), signal, progress }).catch((cause: Error) => {
      throw registryError('INTERNAL', cause.message, { cause })
    })
    const { manifests, blobs, missingCount } = made.snapshot.info
    const { copied, copiedBytes, removed } = made
    return { manifests, blobs, missing: missingCount, copied, bytes: copiedBytes, removed: removed.length }
  }
}

/** Starts the scheduled backup if the newest snapshot is older than the interval. */
export async function backUpIfDue(
  { backup }: Config,
  jobs: Pick<Jobs, 'start'>,
  now: () => number,
): Promise<void> {
  if (backup.folder === undefined) return
  const newest = await newestSnapshot(resolve(backup.folder))
  const at = now()
  if (newest !== undefined && at - Date.parse(newest.info.at) < backup.intervalSeconds * 1000) return
  await jobs.start('backup', { caller: SYSTEM, at })
}

/** A message to the thread of a backup. */
export type BackupQuestion = Omit<BackupOptions, 'signal' | 'progress'>

/** A message from the thread: progress, and at the end the result or the error. */
export type BackupReport = { done: number; total: number } | { result: BackedUp } | { failure: string }

/** Runs `backUp` in a thread of low priority, because it blocks while it copies the database. */
async function backUpInThread({ signal, progress, ...question }: BackupOptions): Promise<BackedUp> {
  const ended = Promise.withResolvers<BackedUp>()
  const worker = new Worker(new URL('./backup-thread.ts', import.meta.url))
  worker.onmessage = ({ data }: MessageEvent<BackupReport>) => {
    if ('done' in data) progress?.(data.done, data.total)
    else if ('result' in data) ended.resolve(data.result)
    else ended.reject(new Error(data.failure))
  }
  worker.addEventListener('error', ({ message }) => ended.reject(new Error(message)))
  const cancel = () => worker.postMessage('cancel')
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    worker.postMessage(question)
    return await ended.promise
  } finally {
    signal?.removeEventListener('abort', cancel)
    worker.terminate()
  }
}
