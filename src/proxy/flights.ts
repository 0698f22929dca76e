import { LRUCache } from 'lru-cache'
import { UpstreamError } from './upstream-error.ts'

/** How long an upstream's 404 is remembered, how many of them, and in how many characters. */
const REMEMBERED_MILLISECONDS = 30_000
const REMEMBERED_MAX = 10_000
const REMEMBERED_CHARACTERS_MAX = 2 * 1024 * 1024

/** What is remembered of a 404. An error would keep its stack, its cause, and whatever they refer to. */
interface Absent {
  until: number
  message: string
}

/** One request at a time for each key, whose result all who ask meanwhile get; a 404 is remembered for a moment. */
export class Flights {
  private readonly monotonic: () => number
  private readonly flights = new Map<string, Promise<unknown>>()
  private readonly absent: LRUCache<string, Absent>

  /**
   * @param monotonic milliseconds of a clock that never goes back
   * @param charactersMax of the keys and messages of all 404s that are remembered
   */
  constructor(monotonic: () => number, charactersMax = REMEMBERED_CHARACTERS_MAX) {
    this.monotonic = monotonic
    this.absent = new LRUCache({
      max: REMEMBERED_MAX,
      maxSize: charactersMax,
      sizeCalculation: ({ message }, key) => key.length + message.length,
    })
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
    if (known !== undefined && known.until > this.monotonic())
      throw new UpstreamError('absent', known.message)
  }

  /** Remembers a 404 of the upstream. */
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
