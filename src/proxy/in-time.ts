import type { Upstream } from './upstream/upstream.ts'
import { UpstreamError } from './upstream/upstream-error.ts'

/** Returns the result, or rejects after a time limit, so that a silent upstream does not keep clients waiting. */
export async function inTime<T>(promise: Promise<T>, milliseconds: number, { name }: Upstream): Promise<T> {
  let timer: Timer | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new UpstreamError('unavailable', `${name} does not answer in time`, { isTimeout: true })
    timer = setTimeout(() => reject(error), milliseconds)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
