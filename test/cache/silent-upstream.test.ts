import { expect, test } from 'bun:test'
import { RequestPlaces, sharedRequestPlaces } from '../../src/cache/upstream/connections.ts'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { until } from '../support/until.ts'
import { FakeUpstream } from '../support/upstream.ts'

test('cache: an upstream that never responds gets few requests at the same time', async () => {
  await using other = await FakeUpstream.start()
  const second = `[[upstream]]\nname = "b.example"\nurl = "${other.url}"`
  await using cache = await startCache({ upstream: second, cache: 'first-byte-seconds-max = 3' })
  other.putManifest('library/app', '1', imageManifest(EMPTY, []))
  cache.fake.on(/./, () => [new Promise(() => {})])
  const left = new AbortController()
  const waiting = Array.from({ length: 100 }, (_, at) =>
    cache.get(`manifests/${at}`, { signal: left.signal }).catch(() => undefined),
  )
  await until(() => cache.fake.log.length >= 20)
  const response = await cache.server.fetch('/v2/b.example/library/app/manifests/1')
  expect(response.status).toBe(200)
  expect(cache.fake.log.length).toBeLessThan(100)
  left.abort()
  await Promise.all(waiting)
})

test('cache: more than 1,000 requests that wait for one upstream are refused at once', async () => {
  const places = new RequestPlaces(sharedRequestPlaces(), () => 0)
  const { promise, resolve } = Promise.withResolvers<void>()
  const run = () => places.run('up.example', 20_000, () => promise)
  const waiting = Array.from({ length: 1040 }, run)
  expect(await failureOf(run())).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 1 })
  resolve()
  await Promise.all(waiting)
  await run()
})
