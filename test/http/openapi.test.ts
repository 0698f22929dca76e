import { expect, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import type { OpenAPIV3 } from 'openapi-types'
import { openapi } from '../../src/http/openapi.ts'

const paths: OpenAPIV3.PathsObject = {
  '/v2/{name}/tags/list': {
    get: {
      summary: 'List tags',
      parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }],
      responses: { 200: { description: 'The tags.' } },
    },
  },
}
const app = openapi({ paths, version: '1.2.3' })

const ask = (path: string, init?: RequestInit) => app.handle(new Request(`http://localhost${path}`, init))

test('the document is valid OpenAPI 3 and has the paths that Elysia cannot see', async () => {
  const answer = await ask('/swagger/json')
  const document = (await answer.json()) as OpenAPIV3.Document
  expect(await new Validator().validate(document as unknown as Record<string, unknown>)).toEqual({
    valid: true,
  })
  expect(document.info.version).toBe('1.2.3')
  expect(Object.keys(document.paths)).toEqual(['/v2/{name}/tags/list'])
})

test('the page names no other host, and the browser may reach none', async () => {
  const answer = await ask('/swagger')
  const html = await answer.text()
  expect(html).toContain('src="/swagger/scalar.js"')
  expect(html).not.toMatch(/(https?:)?\/\/[a-z]/i)
  const policy = answer.headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toMatch(/\*|https?:|unsafe-eval/)
})

test('the policy lets the page run its empty settings script, by its hash', async () => {
  const html = await (await ask('/swagger')).text()
  const inline = html.match(/<script\s+id="api-reference"[^>]*>([^<]*)<\/script>/)?.[1] ?? 'none'
  const hash = new Bun.CryptoHasher('sha256').update(inline).digest('base64')
  expect((await ask('/swagger')).headers.get('content-security-policy')).toContain(`'sha256-${hash}'`)
})

test('the script is sent compressed, and plain to a client that does not take gzip', async () => {
  const compressed = await ask('/swagger/scalar.js', { headers: { 'accept-encoding': 'br, gzip' } })
  expect(compressed.headers.get('content-encoding')).toBe('gzip')
  expect(compressed.headers.get('vary')).toBe('accept-encoding')
  const script = Bun.gunzipSync(await compressed.arrayBuffer())
  for (const encoding of ['identity', 'gzip;q=0, identity']) {
    const plain = await ask('/swagger/scalar.js', { headers: { 'accept-encoding': encoding } })
    expect(plain.headers.has('content-encoding')).toBe(false)
    expect(plain.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    expect(await plain.bytes()).toEqual(script)
  }
})

test('the script is not sent again to a browser that has it', async () => {
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
