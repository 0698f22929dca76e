import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { OpenAPIV3 } from 'openapi-types'
import { PATH_TEMPLATES, V2_DOCS } from '../../src/registry/openapi.ts'
import { routes } from '../../src/registry/routes.ts'
import { digestOf, EMPTY, imageManifest, named } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { runScenarios } from '../support/scenario.ts'
import { SERVERS, startInProcess, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const manifest = imageManifest(EMPTY, [])
const unknown = digestOf(new TextEncoder().encode('unknown'))
const nobody = crypto.randomUUID()

/** Each endpoint with its methods, from the table "Endpoints" of the specification. */
const ENDPOINTS: [path: string, methods: string[]][] = [
  ['/v2/', ['GET', 'HEAD']],
  ['/v2', ['GET', 'HEAD']],
  ['/v2/_catalog', ['GET', 'HEAD']],
  [`/v2/a/b/blobs/${EMPTY.digest}`, ['GET', 'HEAD', 'DELETE']],
  [`/v2/a/b/manifests/${manifest.digest}`, ['GET', 'HEAD', 'PUT', 'DELETE']],
  ['/v2/a/b/manifests/latest', ['GET', 'HEAD', 'PUT', 'DELETE']],
  ['/v2/a/b/blobs/uploads/', ['POST']],
  ['/v2/a/b/blobs/uploads', ['POST']],
  [`/v2/a/b/blobs/uploads/${nobody}`, ['GET', 'HEAD', 'PATCH', 'PUT', 'DELETE']],
  ['/v2/a/b/tags/list', ['GET', 'HEAD']],
  [`/v2/a/b/referrers/${manifest.digest}`, ['GET', 'HEAD']],
]
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

for (const [kind, start] of SERVERS) {
  describe(`the table of routes, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start()
      await pushImage(server, 'a/b', manifest, [], { reference: 'latest' })
    }, 60_000)
    afterAll(() => server.stop())

    runScenarios(
      () => server,
      ENDPOINTS.flatMap(([path, methods]) =>
        METHODS.filter((method) => !methods.includes(method)).map((method) => ({
          name: `${method} ${path} is 405, and Allow names the methods`,
          method,
          path,
          status: 405,
          has: { allow: new RegExp(`^(?=.*\\b${methods.join('\\b)(?=.*\\b')}\\b)[A-Z, ]+$`) },
          ...(method === 'HEAD' ? {} : { codes: ['UNSUPPORTED'] }),
        })),
      ),
    )

    runScenarios(
      () => server,
      ENDPOINTS.filter(([, methods]) => methods.includes('HEAD')).map(([path]) => ({
        name: `HEAD ${path} is known`,
        method: 'HEAD',
        path,
        status: path.endsWith(nobody) ? 404 : 200,
        lacks: ['allow'],
      })),
    )

    runScenarios(
      () => server,
      [
        '/v2/a/b',
        '/v2/a/b/tags',
        '/v2/a/b/tags/other',
        '/v2/tags/list',
        '/v2//tags/list',
        '/v2/blobs/uploads/',
        `/v2/manifests/${manifest.digest}`,
        '/v2/_oci/ext/discover',
        '/v2/a/b/blobs/uploads/x/y',
      ].flatMap((path) =>
        ['GET', 'PUT'].map((method) => ({
          name: `${method} ${path} is 404: there is no such endpoint`,
          method,
          path,
          status: 404,
          lacks: ['allow'],
          codes: ['UNSUPPORTED'],
        })),
      ),
    )

    runScenarios(
      () => server,
      [
        { name: 'the base answers', path: '/v2/', status: 200, content: {} },
        {
          name: 'HEAD of what is unknown has no body',
          method: 'HEAD',
          path: `/v2/a/b/blobs/${unknown}`,
          status: 404,
        },
        { name: 'a malformed name', path: '/v2/A/tags/list', status: 400, codes: ['NAME_INVALID'] },
        {
          name: 'a name of 256 characters',
          path: `/v2/${'a'.repeat(256)}/tags/list`,
          status: 400,
          codes: ['NAME_INVALID'],
        },
        {
          name: 'a malformed digest',
          path: '/v2/a/b/blobs/sha256:1',
          status: 400,
          codes: ['DIGEST_INVALID'],
        },
        { name: 'a malformed tag', path: '/v2/a/b/manifests/-x', status: 400, codes: ['MANIFEST_INVALID'] },
      ],
    )

    test('unknown paths outside /v2 are 404', async () => {
      expect((await server.fetch('/')).headers.get('content-type')).toBe('text/html; charset=utf-8')
      for (const path of ['/v3/', '/v2x', '/favicon.ico']) {
        expect([path, (await server.fetch(path)).status]).toEqual([path, 404])
      }
    })

    test('every response has a unique x-request-id, which its log line has too', async () => {
      const path = `/v2/a/b/blobs/${digestOf(named(kind).bytes)}`
      const ids = await Promise.all(
        [path, path].map(async (each) => (await server.fetch(each)).headers.get('x-request-id')),
      )
      expect(new Set(ids).size).toBe(2)
      // Another process writes its log lines after its responses.
      const linesOf = () => server.log().filter((line) => line.path === path)
      await until(() => linesOf().length === ids.length)
      const lines = linesOf()
      expect(lines.map(({ requestId }) => requestId)).toEqual(expect.arrayContaining(ids))
      expect(lines[0]).toMatchObject({ route: 'v2GetBlob', method: 'GET', status: 404 })
    })
  })
}

test('openapi: every row of the route table is documented', async () => {
  await using server = await startInProcess()
  const document = (await (await server.fetch('/swagger/json')).json()) as OpenAPIV3.Document
  const rows = routes()
  expect(rows.length).toBeGreaterThan(13)
  expect(rows.map(({ id }) => id)).toEqual(Object.keys(V2_DOCS))
  for (const { id, path, methods } of rows) {
    const { answers = {}, summary } = V2_DOCS[id] ?? {}
    for (const method of methods) {
      const found = document.paths[PATH_TEMPLATES[path]]?.[method.toLowerCase() as OpenAPIV3.HttpMethods]
      expect([id, found?.summary]).toEqual([id, summary])
      const named = PATH_TEMPLATES[path].includes('{name}') ? { 400: '' } : {}
      const statuses = Object.keys({ ...answers, ...named, 401: '', 403: '', 429: '', 500: '' })
      expect(Object.keys(found?.responses ?? {})).toEqual(statuses)
    }
  }
})
