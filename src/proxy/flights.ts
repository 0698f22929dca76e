import { LRUCache } from 'lru-cache'
import { UpstreamError } from './upstream-error.ts'

/** How long an upstream's 404 is remembered, and how many of them. */
const REMEMBERED_MILLISECONDS = 30_000
const REMEMBERED_MAX = 10_000

/** One request at a time for each key, whose result all who ask meanwhile get; a 404 is remembered for a moment. */
export class Flights {
  private readonly monotonic: () => number
  private readonly flights = new Map<string, Promise<unknown>>()
  private readonly absent = new LRUCache<string, { until: number; error: UpstreamError }>({
    max: REMEMBERED_MAX,
  })

  constructor(monotonic: () => number) {
    this.monotonic = monotonic
  }

  /** @throws what `work` throws, or threw a moment ago for what is absent */
  async join<T>(key: string, work: () => Promise<T>): Promise<T> {
    this.throwIfAbsent(key)
    const flight = this.flights.get(key)
    if (flight !== undefined) return (await flight) as T
    const own = Promise.resolve().then(() => this.run(key, work))
    this.flights.set(key, own)
    return await own
  }

  /** Forgets every 404. */
  forget(): void {
    this.absent.clear()
  }

  /** @throws what the upstream said a moment ago, when that was a 404 */
  throwIfAbsent(key: string): void {
    const known = this.absent.get(key)
    if (known !== undefined && known.until > this.monotonic()) throw known.error
  }

  /** Remembers a 404 of the upstream. */
  noteAbsent(key: string, error: unknown): void {
    if (!(error instanceof UpstreamError) || error.kind !== 'absent') return
    this.absent.set(key, { error, until: this.monotonic() + REMEMBERED_MILLISECONDS })
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
