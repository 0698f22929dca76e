import { expect, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { OpenAPIV3 } from 'openapi-types'
import { startServer } from '../../scripts/lib/server.ts'
import { version } from '../../src/config/values.ts'
import { openapi } from '../../src/http/openapi.ts'
import { withoutReferences } from '../support/described.ts'

const paths: OpenAPIV3.PathsObject = {
  '/v2/{name}/tags/list': {
    get: {
      summary: 'List tags',
      parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }],
      responses: { 200: { description: 'The tags.' } },
    },
  },
}
const app = openapi(paths)

const ask = (path: string, init?: RequestInit) => app.handle(new Request(`http://localhost${path}`, init))

test('openapi: the document has the paths behind wildcard routes', async () => {
  const document = await valid(await ask('/swagger/json'))
  expect(document.info.version).toBe(version)
  expect(Object.keys(document.paths)).toEqual(['/v2/{name}/tags/list'])
})

test('openapi: the executable serves the page and a valid document of the whole API', async () => {
  await using server = await startServer()
  const origin = `http://${server.address}`
  const document = withoutReferences(await valid(await fetch(`${origin}/swagger/json`)))
  expect(Object.keys(document.paths)).toContain('/v2/{name}/manifests/{reference}')
  expect(Object.keys(document.components?.securitySchemes ?? {})).toEqual(['basic', 'bearer', 'session'])
  for (const noun of ['users', 'robots', 'groups', 'grants', 'signing-keys', 'audit']) {
    const { responses = {} } = document.paths[`/api/v1/${noun}`]?.get ?? {}
    for (const status of [200, 400, 401, 403, 429, 500]) {
      const answer = responses[status] as OpenAPIV3.ResponseObject | undefined
      const type = status === 200 ? 'application/json' : 'application/problem+json'
      expect([noun, status, Object.keys(answer?.content ?? {})]).toEqual([noun, status, [type]])
    }
  }
  const { requestBody } = document.paths['/token']?.post ?? {}
  const { content } = requestBody as OpenAPIV3.RequestBodyObject
  expect(Object.keys(content)).toEqual(['application/x-www-form-urlencoded'])
  expect(await (await fetch(`${origin}/swagger`)).text()).toContain('src="/swagger/scalar.js"')
  const script = await fetch(`${origin}/swagger/scalar.js`)
  expect(script.headers.get('content-encoding')).toBe('gzip')
  expect(await script.text()).toContain('api-reference')
})

test('openapi: the page refers to no other host, and its policy allows none', async () => {
  const answer = await ask('/swagger')
  const html = await answer.text()
  expect(html).toContain('src="/swagger/scalar.js"')
  expect(html).not.toMatch(/(https?:)?\/\/[a-z]/i)
  const policy = answer.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toMatch(/\*|https?:|unsafe-eval/)
})

test('openapi: the policy allows the empty settings script by its hash', async () => {
  const html = await (await ask('/swagger')).text()
  const inline = html.match(/<script\s+id="api-reference"[^>]*>([^<]*)<\/script>/)?.[1] ?? 'none'
  const hash = new Bun.CryptoHasher('sha256').update(inline).digest('base64')
  expect((await ask('/swagger')).headers.get('content-security-policy')).toContain(`'sha256-${hash}'`)
})

test('openapi: the script is sent compressed', async () => {
  const answer = await ask('/swagger/scalar.js')
  expect(answer.headers.get('content-encoding')).toBe('gzip')
  expect(answer.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
  expect(new TextDecoder().decode(Bun.gunzipSync(await answer.arrayBuffer()))).toContain('api-reference')
})

test('openapi: the script is 304 for a browser that has it', async () => {
  const etag = (await ask('/swagger/scalar.js')).headers.get('etag') ?? ''
  const again = await ask('/swagger/scalar.js', { headers: { 'if-none-match': etag } })
  expect(again.status).toBe(304)
  expect(again.headers.get('etag')).toBe(etag)
  expect(await again.text()).toBe('')
})

test.each(['/swagger', '/swagger/json', '/swagger/scalar.js'])(
  'HEAD %s answers as GET, without a body',
  async (path) => {
    const [get, head] = await Promise.all([ask(path), ask(path, { method: 'HEAD' })])
    expect(head.status).toBe(200)
    expect(head.headers.get('content-length')).toBe(`${(await get.bytes()).length}`)
    expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'))
    expect(await head.text()).toBe('')
  },
)

/** Returns the document, after validating it against OpenAPI 3. */
async function valid(answer: Response): Promise<OpenAPIV3.Document> {
  const document = (await answer.json()) as OpenAPIV3.Document
  expect(await new Validator().validate({ ...document })).toEqual({ valid: true })
  return document
}
