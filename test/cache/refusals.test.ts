import { describe, expect, test } from 'bun:test'
import { named } from '../support/content.ts'
import { startMirror } from '../support/mirror.ts'
import { reply } from '../support/upstream.ts'

const { digest } = named('content that the upstream does not provide')

/** How the upstream's status reaches a client that asks for what is not cached. */
const faults: [status: number, headers: Record<string, string>, expected: number, isToRetry: boolean][] = [
  [401, {}, 403, false],
  [403, {}, 403, false],
  [404, {}, 404, false],
  [429, { 'retry-after': '21600' }, 429, true],
  [500, {}, 503, true],
  [503, {}, 503, true],
]

const requests: [method: string, path: string][] = [
  ['GET', 'manifests/1'],
  ['HEAD', 'manifests/1'],
  ['GET', `manifests/${digest}`],
  ['GET', `blobs/${digest}`],
  ['HEAD', `blobs/${digest}`],
  ['GET', 'tags/list'],
]

/** Returns the URL of a request for the upstream's repository `library/NAME`. */
const ways: Record<string, (hosts: { main: string; mirror: string }, name: string, path: string) => string> =
  {
    'by name': ({ main }, name, path) => `${main}/v2/up.example/library/${name}/${path}`,
    'by ns': ({ main }, name, path) => `${main}/v2/library/${name}/${path}?ns=up.example`,
    'by the mirror listener': ({ mirror }, name, path) => `${mirror}/v2/library/${name}/${path}`,
  }

describe.each(faults)(
  'cache: what is not cached, if the upstream says %d',
  (status, headers, expected, isToRetry) => {
    test.each(Object.entries(ways))(`is a ${expected}, %s`, async (_, urlOf) => {
      await using world = await startMirror('open')
      world.fake.on(/ \/v2\//, ({ method }) => reply(status, headers, '', method === 'HEAD'))
      const responses = await Promise.all(
        requests.map(async ([method, path], at) => {
          const response = await fetch(urlOf(world, `app${at}`, path), { method })
          const text = await response.text()
          if (method !== 'HEAD') expect(text).toContain('up.example')
          expect(response.headers.get('www-authenticate')).toBeNull()
          return [`${method} ${path}`, response.status, response.headers.has('retry-after')]
        }),
      )
      expect(responses).toEqual(requests.map(([method, path]) => [`${method} ${path}`, expected, isToRetry]))
    })
  },
)
