import { expect, test } from 'bun:test'
import { Flights } from '../../src/cache/flights.ts'
import { UpstreamError } from '../../src/cache/upstream/answer.ts'
import { startCache } from '../support/cache.ts'

/** Joins a flight to which the upstream answers 404, and returns what its caller gets. */
async function absent(flights: Flights, key: string, onRequest = () => {}): Promise<UpstreamError> {
  const cause = new Error('the whole response')
  const work = async () => {
    onRequest()
    throw new UpstreamError('absent', 'the upstream answers 404', { cause })
  }
  return await flights.join(key, work).catch((error) => error)
}

test('upstreams: a remembered 404 is told in the same words, and does not keep the error that it came with', async () => {
  const flights = new Flights(() => 0)
  let requests = 0
  const first = await absent(flights, 'app:1', () => requests++)
  const second = await absent(flights, 'app:1', () => requests++)
  expect(requests).toBe(1)
  expect(second).toMatchObject({ kind: 'absent', message: first.message })
  expect([second === first, second.cause]).toEqual([false, undefined])
})

test('upstreams: remembered 404s take bounded memory, and the oldest are forgotten first', async () => {
  const flights = new Flights(() => 0, 1000)
  const asked: string[] = []
  const ask = (key: string) => absent(flights, key, () => asked.push(key))
  const keys = ['a', 'b', 'c'].map((letter) => letter.repeat(400))
  for (const key of keys) await ask(key)
  expect(asked).toEqual(keys)
  await ask(keys[2] ?? '')
  expect(asked).toHaveLength(3)
  await ask(keys[0] ?? '')
  expect(asked).toHaveLength(4)
})

test('cache: a refresh asks the upstream anew, also for a tag that it just did not have', async () => {
  await using cache = await startCache()
  const refresh = () =>
    cache.server.fetch('/api/v1/cache/refresh', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ repository: 'up.example/library/app', tag: '1' }),
    })
  expect([(await cache.get('manifests/1')).status, (await refresh()).status]).toEqual([404, 404])
  const { manifest } = cache.fake.putImage('library/app', '1')
  expect((await cache.get('manifests/1')).status).toBe(404)
  const refreshed = await refresh()
  expect([refreshed.status, await refreshed.json()]).toEqual([200, { digest: manifest.digest }])
  expect((await cache.get('manifests/1')).status).toBe(200)
})
