import type { Upstream } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

/** What the promise brings, unless that takes too long: an upstream that does not answer keeps no client waiting. */
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
