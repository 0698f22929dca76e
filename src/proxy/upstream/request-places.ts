import { Places, takePlaces } from '../fills/places.ts'
import { Deadline } from './deadline.ts'
import { UpstreamError } from './upstream-error.ts'

/** How many requests are sent to one upstream at the same time, besides downloads of blobs. */
const OWN_MAX = 40

/** How many more wait for one upstream. Further ones are refused. */
const WAITING_MAX = 1000

/** How many requests are sent to all upstreams at the same time, besides downloads of blobs, of which there are 64. */
const ALL_MAX = 120

/** Creates the places that all upstreams share. */
export function sharedRequestPlaces(): Places {
  return new Places(ALL_MAX)
}

/**
 * Limits the requests to one upstream. Bun (1.4.5) sends at most 256 requests at a time, to all hosts together, and queues
 * the rest, so without a limit a silent upstream would delay the requests to all others.
 */
export class RequestPlaces {
  private readonly own = new Places(OWN_MAX)
  private readonly all: Places
  private readonly monotonic: () => number
  private count = 0

  constructor(all: Places, monotonic: () => number) {
    this.all = all
    this.monotonic = monotonic
  }

  /**
   * Runs a request when it has a place, with the time that is left.
   *
   * @param name the upstream, for people
   * @throws UpstreamError if too many wait already, or if there is no place in time
   */
  async run<T>(name: string, deadlineMs: number, request: (leftMs: number) => Promise<T>): Promise<T> {
    const tooMany = `too many requests are waiting for ${name}`
    if (this.count >= OWN_MAX + WAITING_MAX)
      throw new UpstreamError('unavailable', tooMany, { retryAfterSeconds: 1 })
    this.count++
    try {
      const began = this.monotonic()
      const give = await this.take(deadlineMs, tooMany)
      try {
        return await request(deadlineMs - (this.monotonic() - began))
      } finally {
        give()
      }
    } finally {
      this.count--
    }
  }

  private async take(deadlineMs: number, tooMany: string): Promise<() => void> {
    const deadline = new Deadline(deadlineMs, new UpstreamError('unavailable', tooMany, { isTimeout: true }))
    try {
      return await takePlaces(this.own, this.all, deadline.signal)
    } finally {
      deadline.extend(undefined)
    }
  }
}
