import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startInProcess, type TestServer } from '../support/server.ts'

const PATH = '/api/v1/upstreams/up.example'

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
})
afterAll(() => server.stop())

async function put(settings: object) {
  const headers = { 'content-type': 'application/json' }
  const response = await server.fetch(PATH, { method: 'PUT', headers, body: JSON.stringify(settings) })
  return { status: response.status, text: await response.text() }
}

test.each([
  { url: 'ftp://up.example' },
  { url: 'https://me:secret@up.example' },
  { username: 'me' },
  { password: 'secret' },
  { username: 'me', password: 'secret', token: 'secret' },
  { ca: 'no certificate' },
  { proxy: 'http://me:secret@proxy.lan' },
  { repositories: ['Not/A/Pattern'] },
  { mirrors: ['nowhere'] },
  { connections: 0 },
  { url: 'http://169.254.169.254/' },
  { url: 'http://[fe80::1]:5000' },
  { mirrors: ['http://[::ffff:169.254.169.254]'] },
  { proxy: 'http://169.254.169.254:80' },
])('the settings %j are refused, and nothing is added', async (settings) => {
  expect((await put(settings)).status).toBe(400)
  expect((await server.fetch(PATH)).status).toBe(404)
})

test('upstreams: an unknown setting is refused, and the error names it', async () => {
  const refused = await put({ privat: true })
  expect([refused.status, refused.text]).toEqual([400, expect.stringContaining('privat: is not known')])
})

test('upstreams: one with 101 mirrors is refused', async () => {
  const refused = await put({ mirrors: Array(101).fill('https://mirror.example') })
  expect(refused.status).toBe(400)
})

test('upstreams: the refusal of a URL with credentials does not repeat them', async () => {
  const refused = await put({ url: 'https://me:a-sec/ret@up.example' })
  expect(refused.status).toBe(400)
  expect(refused.text).not.toMatch(/a-sec|ret@/)
})
