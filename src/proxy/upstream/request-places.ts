import { Places, takePlaces } from '../fills/places.ts'
import { Deadline } from './deadline.ts'
import { UpstreamError } from './upstream-error.ts'

/** How many requests are sent to one upstream at the same time, besides downloads of blobs. */
const OWN_MAX = 24

/** How many requests are sent to all upstreams at the same time, besides downloads of blobs. */
const ALL_MAX = 56

/** Creates the places that all upstreams share. */
export function sharedRequestPlaces(): Places {
  return new Places(ALL_MAX)
}

/**
 * Limits the requests to one upstream. Bun (1.4.5) sends at most 256 at the same time to all hosts together, and queues
 * the others, so a silent upstream would delay all of them.
 */
export class RequestPlaces {
  private readonly own = new Places(OWN_MAX)
  private readonly all: Places
  private readonly monotonic: () => number

  constructor(all: Places, monotonic: () => number) {
    this.all = all
    this.monotonic = monotonic
  }

  /**
   * Runs a request when it has a place, with the time that is left.
   *
   * @param name the upstream, for people
   * @throws UpstreamError if there is no place in time
   */
  async run<T>(name: string, deadlineMs: number, request: (leftMs: number) => Promise<T>): Promise<T> {
    const began = this.monotonic()
    const late = new UpstreamError('unavailable', `too many requests wait for ${name}`, { isTimeout: true })
    const deadline = new Deadline(deadlineMs, late)
    const taking = takePlaces(this.own, this.all, deadline.signal)
    const give = await taking.finally(() => deadline.extend(undefined))
    try {
      return await request(deadlineMs - (this.monotonic() - began))
    } finally {
      give()
    }
  }
}
