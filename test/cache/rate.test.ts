import { describe, expect, test } from 'bun:test'
import { Rate } from '../../src/cache/pace.ts'
import { startCache } from '../support/cache.ts'
import { Clock } from '../support/clock.ts'
import { randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { head } from '../support/upstream.ts'

const KiB = 1024

/** A rate of 64 KiB a second, on a clock that the test moves. */
function startRate() {
  const clock = new Clock(1000)
  const timers: { at: number; work: () => void }[] = []
  const after = (milliseconds: number, work: () => void) => {
    timers.push({ at: clock.time + milliseconds, work })
  }
  const rate = new Rate(64 * KiB, { monotonic: clock.now, after })
  return {
    rate,
    timers,
    /** Lets time pass, from timer to timer. Returns the milliseconds until nothing waits. */
    async runAll(): Promise<number> {
      const began = clock.time
      for (let timer = timers.shift(); timer !== undefined; timer = timers.shift()) {
        clock.time = timer.at
        timer.work()
        await Promise.resolve()
      }
      return clock.time - began
    },
  }
}

describe('rate: streams of one upstream', () => {
  test('take together as long as the rate says', async () => {
    const { rate, runAll } = startRate()
    const taken = [rate.take(320 * KiB), rate.take(320 * KiB)]
    // The last 64 KiB are let through before their second has passed.
    const milliseconds = await runAll()
    expect(milliseconds).toBeGreaterThan(8900)
    expect(milliseconds).toBeLessThanOrEqual(9000)
    await Promise.all(taken)
  })

  test('take turns, so that a large chunk does not keep small ones waiting', async () => {
    const { rate, runAll } = startRate()
    const ended: string[] = []
    const streams = [
      ['large', 1024 * KiB],
      ['small', 64 * KiB],
      ['medium', 128 * KiB],
    ] as const
    const taken = streams.map(([name, bytes]) => rate.take(bytes)?.then(() => ended.push(name)))
    await runAll()
    await Promise.all(taken)
    expect(ended).toEqual(['small', 'medium', 'large'])
  })

  test('need one timer, however many of them wait', () => {
    const { rate, timers } = startRate()
    for (let stream = 0; stream < 100; stream++) void rate.take(64 * KiB)
    expect(timers).toHaveLength(1)
  })

  test('leave when they are aborted, and the others go on', async () => {
    const { rate, runAll } = startRate()
    const leaving = new AbortController()
    const left = rate.take(6400 * KiB, leaving.signal)
    const stayed = rate.take(64 * KiB)
    leaving.abort(new Error('left'))
    expect((await failureOf(left ?? Promise.resolve())).message).toBe('left')
    expect(await runAll()).toBeLessThanOrEqual(1000)
    await stayed
  })

  test('do not wait without a limit', () => {
    expect(new Rate(0, { monotonic: () => 0 }).take(1e12)).toBeUndefined()
  })
})

describe('cache: waiting for the rate of an upstream is not a stall', () => {
  test.each([
    ['of a blob that is stored', ''],
    ['of a blob that does not fit into the cache', 'bytes-max = 1000'],
  ])('%s', async (_, settings) => {
    const blob = randomBlob(200_000)
    // A chunk waits longer than a stall.
    const options = { upstream: 'bytes-per-second = 80_000', cache: `stall-seconds-max = 1\n${settings}` }
    await using cache = await startCache(options)
    cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': '200000' }), blob.bytes])
    cache.fake.putBlob('library/app', blob)
    const response = await cache.get(`blobs/${blob.digest}`)
    expect(Buffer.from(await response.bytes()).equals(blob.bytes)).toBe(true)
    expect(cache.fake.requests(/^GET .*blobs/)).toHaveLength(1)
  })

  test('also while an upstream without ranges sends again what is here', async () => {
    const blob = randomBlob(200_000)
    const options = { upstream: 'bytes-per-second = 80_000', cache: 'stall-seconds-max = 1' }
    await using cache = await startCache(options)
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': '200000' }), blob.bytes])
    const first = blob.bytes.subarray(0, 190_000)
    cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': '200000' }), first, 'fin'], 1)
    const response = await cache.get(`blobs/${blob.digest}`)
    expect(Buffer.from(await response.bytes()).equals(blob.bytes)).toBe(true)
    expect(cache.fake.requests(/^GET .*blobs/)).toHaveLength(2)
  }, 20_000)
})
