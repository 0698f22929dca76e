import { LRUCache } from 'lru-cache'
import { UpstreamError } from './upstream/upstream-error.ts'

/** How long the 404 responses of upstreams are cached, how many of them, and how many characters in total. */
const REMEMBERED_MILLISECONDS = 30_000
const REMEMBERED_MAX = 10_000
const REMEMBERED_CHARACTERS_MAX = 2 * 1024 * 1024

/** A cached 404. Caching the error itself would keep its stack, its cause, and everything that they reference. */
interface Absent {
  until: number
  message: string
}

/** Runs one request at a time for each key and shares its result with all callers. A 404 is cached for a short time. */
export class Flights {
  private readonly monotonic: () => number
  private readonly flights = new Map<string, Promise<unknown>>()
  private readonly absent: LRUCache<string, Absent>

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
