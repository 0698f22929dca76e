import { expect, test } from 'bun:test'
import { type Access, NOBODY } from '../../src/access/access.ts'
import { openAccess } from '../../src/accounts/authenticator.ts'
import { openBodies } from '../../src/http/body.ts'
import { type V2Options, v2Dispatch } from '../../src/registry/dispatch.ts'
import type { Upstream } from '../../src/registry/registry.ts'
import { routes } from '../../src/registry/routes.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import { openMemoryLog } from '../support/memory-log.ts'

const hub: Upstream = { name: 'docker.io', namespace: 'library' }

/** A dispatcher over a registry with an upstream, and the names that its services were called with. */
function dispatchWithUpstream(access = openAccess) {
  const asked: string[] = []
  const registry = {
    tags: {
      async list(repository: string) {
        asked.push(repository)
        return { items: [], more: false }
      },
    },
  } as unknown as V2Options['content']['registry']
  const dispatch = v2Dispatch({
    routes: routes(),
    content: {
      registry,
      pulls: {} as V2Options['content']['pulls'],
      upstreams: { find: (name) => (name === hub.name ? hub : undefined), findByHost: () => undefined },
    },
    access,
    accounts: { audit: { noteRefusal: () => {} } },
    limits: { manifestBytesMax: 1024, pageMax: 10, tagsPerPushMax: 10 },
    metrics: new Metrics(),
    log: openMemoryLog().log,
    mirrorOf: undefined,
    authenticate: () => NOBODY,
    addressOf: () => '127.0.0.1',
    bodies: openBodies({ largestBytes: 1024, budgetBytes: 1024, stallSecondsMax: 1 }),
    beforeLarge: async () => {},
    sourceOf: (request) => ({ request, client: undefined }),
    originOf: () => 'https://registry.example',
    tokens: { service: 'cay' },
    nextRequestId: () => 'request',
    onBlobBody: () => {},
    isForV1: () => false,
  })
  const get = (path: string) => dispatch(new Request(`http://10.0.0.5:5000${path}`))
  return { asked, get }
}

test('upstreams: tags of a cached repository are looked up by its full name', async () => {
  const { asked, get } = dispatchWithUpstream()
  expect((await get('/v2/docker.io/team/app/tags/list')).status).toBe(200)
  expect((await get('/v2/docker.io/alpine/tags/list')).status).toBe(200)
  expect((await get('/v2/team/app/tags/list')).status).toBe(200)
  expect(asked).toEqual(['docker.io/team/app', 'docker.io/library/alpine', 'team/app'])
})

test('upstreams: access is checked for the full name, and the challenge has it', async () => {
  const authorised: string[] = []
  const may: Access['may'] = (_identity, _action, repository) => {
    authorised.push(repository)
    return false
  }
  const { asked, get } = dispatchWithUpstream({ ...openAccess, isOpen: false, may })
  const response = await get('/v2/docker.io/alpine/tags/list')
  expect(response.status).toBe(401)
  expect(response.headers.get('www-authenticate')).toBe(
    'Bearer realm="https://registry.example/token",service="cay",scope="repository:docker.io/library/alpine:pull"',
  )
  expect(authorised).toEqual(['docker.io/library/alpine'])
  expect(asked).toEqual([])
})

test('upstreams: the name of an upstream alone is not a repository', async () => {
  const { asked, get } = dispatchWithUpstream()
  const response = await get('/v2/docker.io/tags/list')
  expect(response.status).toBe(404)
  expect(await response.json()).toMatchObject({ errors: [{ code: 'NAME_UNKNOWN' }] })
  expect(asked).toEqual([])
})

test('upstreams: ns may be the host of external-url', async () => {
  const { asked, get } = dispatchWithUpstream()
  expect((await get('/v2/team/app/tags/list?ns=registry.example')).status).toBe(200)
  expect((await get('/v2/team/app/tags/list?ns=elsewhere.example')).status).toBe(404)
  expect(asked).toEqual(['team/app'])
})
