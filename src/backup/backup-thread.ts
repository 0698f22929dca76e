import { lowerPriority } from '../runtime/threads.ts'
import { backUp } from './backup.ts'
import type { BackupQuestion, BackupReport } from './job.ts'

declare const self: Worker

/** Serves one backup: the first message starts it, and any later one cancels it. */
function serve(): (message: BackupQuestion | 'cancel') => Promise<void> {
  const abort = new AbortController()
  const report = (message: BackupReport) => self.postMessage(message)
  let hasStarted = false
  return async (message) => {
    if (hasStarted || message === 'cancel') return abort.abort()
    hasStarted = true
    try {
      const progress = (done: number, total: number) => report({ done, total })
      report({ result: await backUp({ ...message, signal: abort.signal, progress }) })
    } catch (error) {
      report({ failure: (error as Error).message })
    }
  }
}

lowerPriority()
const take = serve()
self.onmessage = ({ data }: MessageEvent<BackupQuestion | 'cancel'>) => void take(data)
