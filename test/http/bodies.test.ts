import { afterAll, beforeAll, expect, test } from 'bun:test'
import { beginRequest } from '../support/raw-request.ts'
import { startInProcess, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startInProcess({ settings: { access: 'accounts' }, adminPassword: 'correct-horse-battery' })
})
afterAll(() => server.stop())

const JSON_BODY = ['Content-Type: application/json', 'Content-Length: 1000']
const basic = (password: string) => `Authorization: Basic ${btoa(`admin:${password}`)}`

test.each([
  ['without a credential', []],
  ['with a wrong password', [basic('wrong')]],
])('the admin API %s is 401 before the body has come', async (_, headers) => {
  const request = await beginRequest(server.url, ['PUT /api/v1/grants HTTP/1.1', ...headers, ...JSON_BODY])
  request.send('{')
  expect(await request.answer).toStartWith('HTTP/1.1 401')
})

test('bodies: deeply nested JSON is 400, not a server error', async () => {
  const deep = `{"name":${'['.repeat(30_000)}${']'.repeat(30_000)}}`
  const headers = {
    'content-type': 'application/json',
    authorization: basic('correct-horse-battery').slice(15),
  }
  for (const path of ['/api/v1/session', '/api/v1/jobs', '/v1/users/']) {
    const answer = await server.fetch(path, { method: 'POST', headers, body: deep })
    expect([path, answer.status]).toEqual([path, 400])
  }
})
