import { LRUCache } from 'lru-cache'
import { RegistryError } from '../oci/error.ts'
import type { Digest, RepositoryName } from '../oci/reference.ts'
import type { Use } from './store.ts'
import { UpstreamError } from './upstream/answer.ts'
import type { Upstream } from './upstream/upstream.ts'

/** How long the 404 responses of upstreams are cached, how many of them, and how many characters in total. */
const REMEMBERED_MILLISECONDS = 30_000
const REMEMBERED_MAX = 10_000
const REMEMBERED_CHARACTERS_MAX = 2 * 1024 * 1024

/** Runs one request at a time for each key and shares its result with all callers. A 404 is cached for a short time. */
export class Flights {
  private readonly monotonic: () => number
  private readonly flights = new Map<string, Promise<unknown>>()
  /** The cached 404s. The errors themselves would keep their stacks, their causes, and everything that those reference. */
  private readonly absent: LRUCache<string, { until: number; message: string }>

  /**
   * @param monotonic milliseconds of a clock that never goes back
   * @param charactersMax the maximum characters in the keys and messages of all cached 404s
   */
  constructor(monotonic: () => number, charactersMax = REMEMBERED_CHARACTERS_MAX) {
    this.monotonic = monotonic
    this.absent = new LRUCache({
      max: REMEMBERED_MAX,
      maxSize: charactersMax,
      sizeCalculation: ({ message }, key) => key.length + message.length,
    })
  }

  /** @throws what `work` throws, or the cached 404 */
  async join<T>(key: string, work: () => Promise<T>): Promise<T> {
    this.throwIfAbsent(key)
    const flight = this.flights.get(key)
    if (flight !== undefined) return (await flight) as T
    const own = Promise.resolve().then(() => this.run(key, work))
    this.flights.set(key, own)
    return await own
  }

  /** Drops the cached 404 of a key, or all. */
  forget(key?: string): void {
    if (key === undefined) this.absent.clear()
    else this.absent.delete(key)
  }

  /** @throws the cached 404, if there is one */
  throwIfAbsent(key: string): void {
    const known = this.absent.get(key)
    if (known !== undefined && known.until > this.monotonic())
      throw new UpstreamError('absent', known.message)
  }

  /** Caches a 404 of the upstream. */
  noteAbsent(key: string, error: unknown): void {
    if (!(error instanceof UpstreamError) || error.kind !== 'absent') return
    this.absent.set(key, { message: error.message, until: this.monotonic() + REMEMBERED_MILLISECONDS })
  }

  private async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    try {
      const result = await work()
      this.absent.delete(key)
      return result
    } catch (error) {
      this.noteAbsent(key, error)
      throw error
    } finally {
      this.flights.delete(key)
    }
  }
}

/** Returns the promise's result, or undefined if it rejects with a 404. */
export async function unlessUnknown<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise
  } catch (error) {
    return throwUnlessUnknown(error)
  }
}

/** Throws an error again, unless it is a 404. */
export function throwUnlessUnknown(error: unknown): undefined {
  if (error instanceof RegistryError && error.status === 404) return undefined
  throw error
}

/** The maximum uses that are recorded between two writes. */
const USES_MAX = 20_000

/** The maximum uses per write, so that other writes do not wait long. */
const USES_PER_WRITE = 500

/** Records when content was used. The times are written together, at most once a minute, to spare SD cards. */
export class LastUse {
  private readonly write: (uses: Use[]) => Promise<unknown>
  private readonly now: () => number
  /** By repository and digest. */
  private uses = new Map<RepositoryName, Map<Digest, Use>>()
  private count = 0

  /** @param now milliseconds since 1970 */
  constructor(write: (uses: Use[]) => Promise<unknown>, now: () => number) {
    this.write = write
    this.now = now
  }

  note(repository: RepositoryName, digest: Digest, isBlob: boolean): void {
    const known = this.uses.get(repository)?.get(digest)
    if (known !== undefined) known.at = this.now()
    else this.add({ repository, digest, isBlob, at: this.now() })
  }

  /** Writes the recorded uses. Those that cannot be written, for example because the disk is full, stay recorded. */
  async flush(): Promise<void> {
    const uses = [...this.uses.values()].flatMap((inRepository) => [...inRepository.values()])
    this.uses = new Map()
    this.count = 0
    let written = 0
    try {
      for (; written < uses.length; written += USES_PER_WRITE)
        await this.write(uses.slice(written, written + USES_PER_WRITE))
    } finally {
      // Those with a newer use are dropped.
      for (const use of uses.slice(written))
        if (!this.uses.get(use.repository)?.has(use.digest)) this.add(use)
    }
  }

  private add(use: Use): void {
    if (this.count >= USES_MAX) return
    const inRepository = this.uses.get(use.repository)
    if (inRepository === undefined) this.uses.set(use.repository, new Map([[use.digest, use]]))
    else inRepository.set(use.digest, use)
    this.count++
  }
}

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
