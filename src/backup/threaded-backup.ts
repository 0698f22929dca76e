import type { BackedUp, BackupOptions } from './backup.ts'

/** A message to the thread of a backup. */
export type BackupQuestion = Omit<BackupOptions, 'signal' | 'progress'>

/** A message from the thread: progress, and at the end the result or the error. */
export type BackupReport = { done: number; total: number } | { result: BackedUp } | { failure: string }

/** Runs `backUp` in a thread of low priority, because it blocks while it copies the database. */
export async function backUpInThread({ signal, progress, ...question }: BackupOptions): Promise<BackedUp> {
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
