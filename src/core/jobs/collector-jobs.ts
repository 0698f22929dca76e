import type { Collected, Collector } from '../../gc/collector.ts'
import type { JobWork } from './jobs.ts'

/** Returns a garbage collection as the work of a job. */
export function collectJob(collector: Collector): JobWork {
  return async ({ signal, progress }) => {
    const run = await collector.run(signal, (collected) => progress(rowsOf(collected)))
    if (run.stopped === 'cancelled') signal.throwIfAborted()
    const { tags, manifests, repositories, blobs, bytes } = run
    return { tags, manifests, repositories, blobs, bytes }
  }
}

/** Returns a scan of all files and blobs as the work of a job. */
export function scanJob(collector: Collector): JobWork {
  return async ({ options, ...run }) => ({ ...(await collector.scan({ ...run, ...options })) })
}

function rowsOf({ tags, manifests, repositories, blobs }: Collected): number {
  return tags + manifests + repositories + blobs
}
