import { expect, test } from 'bun:test'
import { startWithAccounts } from '../support/accounts.ts'
import { startInProcess } from '../support/server.ts'

const docker = (version: string) => ({
  headers: { 'user-agent': `docker/${version} go/go1.3.3 kernel/3.18 os/linux arch/amd64` },
})

test.each([
  ['0.11.1', 404],
  ['1.5.0', 404],
  ['1.6.0', 401],
  ['1.6.2-rc1', 401],
  ['1.13.1', 401],
  ['29.0.0', 401],
])('/v2/ for Docker %s: %d', async (version, status) => {
  await using server = await startWithAccounts()
  expect((await server.fetch('/v2/', docker(version))).status).toBe(status)
  expect((await server.fetch('/v1/_ping', docker(version))).status).toBe(200)
})

test('docker v1: other paths of /v2 exist for every Docker', async () => {
  await using server = await startInProcess()
  expect((await server.fetch('/v2/_catalog', docker('1.5.0'))).status).toBe(200)
})

test.each([
  ['docker.v1', 404, 200],
  ['docker.v1-fallback', 200, 200],
])('%s = false', async (setting, ping, base) => {
  await using server = await startInProcess({ settings: { [setting]: 'false' } })
  expect((await server.fetch('/v1/_ping', docker('1.5.0'))).status).toBe(ping)
  expect((await server.fetch('/v2/', docker('1.5.0'))).status).toBe(base)
})

test('docker v1: ping confirms a V1 registry that issues tokens', async () => {
  await using server = await startInProcess()
  for (const path of ['/v1/_ping', '/v1/_internal_ping']) {
    const response = await server.fetch(path)
    expect(await response.text()).toBe('true')
    expect(response.headers.get('x-docker-registry-standalone')).toBe('0')
    expect(response.headers.get('x-docker-registry-version')).toBe('0.6.0')
  }
})
