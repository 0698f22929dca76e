import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startInProcess, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startInProcess()
}, 30_000)
afterAll(() => server.stop())

test('page: the shell is served at / and at each path of the page, without inline code', async () => {
  const shell = await (await server.fetch('/')).text()
  expect(shell).toContain('<div id="page"></div>')
  expect(shell).not.toMatch(/<script(?![^>]* src=)|<style| style=| on\w+=/)
  for (const path of ['/sign-in', '/repositories', '/repositories/library/alpine/-/history', '/cache']) {
    const response = await server.fetch(path)
    expect([path, response.status, await response.text()]).toEqual([path, 200, shell])
    expect(response.headers.get('content-security-policy')).toContain(
      "default-src 'none'; script-src 'self';",
    )
    expect(response.headers.get('cache-control')).toBe('no-cache')
  }
})

test('page: its assets are cached for a year, compressed for those who accept gzip, and revalidated', async () => {
  const shell = await (await server.fetch('/')).text()
  const paths = [...shell.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path = '']) => path)
  expect(paths.length).toBeGreaterThanOrEqual(3)
  for (const path of paths) {
    const plain = await server.fetch(path, { headers: { 'accept-encoding': 'identity' } })
    expect([plain.status, plain.headers.get('content-encoding')]).toEqual([200, null])
    expect(plain.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    const gzip = await server.fetch(path, { headers: { 'accept-encoding': 'gzip' } })
    expect(await gzip.text()).toBe(await plain.text())
    const known = await server.fetch(path, { headers: { 'if-none-match': plain.headers.get('etag') ?? '' } })
    expect(known.status).toBe(304)
  }
})

test('page: an unknown asset is not found, and only GET and HEAD are allowed', async () => {
  expect((await server.fetch('/assets/main-00000000.js')).status).toBe(404)
  expect((await server.fetch('/', { method: 'POST' })).status).toBe(405)
  const shell = await server.fetch('/')
  const head = await server.fetch('/', { method: 'HEAD' })
  expect([head.status, await head.text()]).toEqual([200, ''])
  expect(head.headers.get('content-length')).toBe(shell.headers.get('content-length'))
})
