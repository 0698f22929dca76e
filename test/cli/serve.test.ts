import { beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { build } from '../../scripts/build.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { randomBlob } from '../support/content.ts'
import { startUpload } from '../support/push.ts'
import { beginRequest } from '../support/raw-request.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'
import { until } from '../support/until.ts'

beforeAll(async () => {
  await build()
}, 60_000)

describe('cay serve', () => {
  test('logs its address, and answers there', async () => {
    await using server = await startExecutable()
    const listening = server.log().find(({ msg }) => msg === 'listening')
    expect(listening).toMatchObject({ address: new URL(server.url).host, data: server.data })
    for (const path of ['/livez', '/readyz']) {
      const response = await server.fetch(path)
      expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }])
      expect(response.headers.get('x-request-id')).not.toBe(null)
    }
  })

  test('logs a warning about an unknown CAY_* variable, and serves', async () => {
    await using server = await startServer({ env: { CAY_PORT: 'tcp://10.0.0.1:80' } })
    expect(server.log()).toContain('CAY_PORT is not a setting of cay')
  })

  test.each(['0.0.0.0:0', ':0', '[::]:0', '192.0.2.1:0', 'registry.example:0'])(
    '--listen %s without a TLS choice is refused, because other hosts can connect',
    async (listen) => {
      await using folder = await temporaryFolder('serve')
      const { code, errors } = await runCay(['serve', '--listen', listen, '--data', folder.path])
      expect(code).toBe(2)
      expect(errors).toMatch(/^cay: listen includes .*loopback only: use 127\.0\.0\.1 or \[::1\]\n$/)
      expect(readdirSync(folder.path)).toEqual([])
    },
  )

  test('an invalid --listen is refused with what is expected', async () => {
    const { code, errors } = await runCay(['serve', '--listen', '5000', '--data', '/nonexistent/x'])
    expect([code, errors]).toEqual([
      2,
      'cay: listen is "5000": expected HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000\n',
    ])
  })

  test('a port that is in use is named, with the flag', async () => {
    await using server = await startExecutable()
    await using folder = await temporaryFolder('serve')
    const { host, port } = new URL(server.url)
    const { code, errors } = await runCay(['serve', '--listen', host, '--data', folder.path])
    expect([code, errors]).toEqual([
      1,
      `cay: port ${port} is in use: choose another one with --listen 127.0.0.1:PORT\n`,
    ])
    // The next start must not take this for a crash.
    expect(readdirSync(folder.path)).not.toContain('running')
  })

  test('a data folder that another server uses is refused, and that server keeps working', async () => {
    await using server = await startExecutable()
    const { code, errors } = await runCay(['serve', '--listen', '127.0.0.1:0', '--data', server.data])
    expect([code, errors]).toEqual([
      1,
      `cay: another cay serves ${server.data}: stop it, or choose another folder with --data\n`,
    ])
    expect((await server.fetch('/v2/')).status).toBe(200)
  })

  test('a data folder that cannot be created is named', async () => {
    const { code, errors } = await runCay(['serve', '--listen', '127.0.0.1:0', '--data', '/dev/null/data'])
    expect(code).toBe(1)
    expect(errors).toMatch(/^cay: .*\/dev\/null\/data.*\n$/)
  })
})

describe('cay health', () => {
  test('exits with 0 for a ready server, and with 5 without one', async () => {
    const server = await startExecutable()
    const { host } = new URL(server.url)
    expect(await runCay(['health', '--listen', host])).toEqual({ code: 0, output: 'ok\n', errors: '' })
    expect(await runCay(['health', '--url', server.url])).toEqual({ code: 0, output: 'ok\n', errors: '' })
    await server.stop()
    const ended = await runCay(['health', '--listen', host])
    expect(ended).toMatchObject({
      code: 5,
      output: '',
      errors: expect.stringContaining(`cay: http://${host} does not answer (connection refused)`),
    })
  })
})

describe('SIGTERM', () => {
  const blob = randomBlob(1000)
  const begin = async (url: string) => {
    const server = { fetch: (path: string, init?: RequestInit) => fetch(new URL(path, url), init) }
    const location = await startUpload(server, 'a')
    const request = await beginRequest(url, [
      `PUT ${location}?digest=${blob.digest} HTTP/1.1`,
      'Content-Length: 1000',
    ])
    request.send(blob.bytes.subarray(0, 500))
    await until(async () => (await server.fetch(location)).status === 204)
    return request
  }

  test('finishes the request in flight, accepts no new one, and the blob is stored', async () => {
    await using folder = await temporaryFolder('stop')
    const server = await startServer({ data: folder.path })
    const request = await begin(`http://${server.address}`)
    process.kill(server.pid, 'SIGTERM')
    await until(() => server.log().includes('"stopping"'))
    await expect(fetch(`http://${server.address}/v2/`)).rejects.toThrow()
    request.send(blob.bytes.subarray(500))
    expect(await request.answer).toStartWith('HTTP/1.1 201')
    await server.stop()
    expect(server.log()).toContain('"stopped"')
    await using again = await startServer({ data: folder.path })
    const pulled = await fetch(`http://${again.address}/v2/a/blobs/${blob.digest}`)
    expect(await pulled.bytes()).toEqual(blob.bytes)
  })

  test('ends requests that take longer than shutdown.seconds-max', async () => {
    const server = await startServer({ args: ['--shutdown-seconds-max', '1'] })
    const request = await begin(`http://${server.address}`)
    const began = performance.now()
    await server.stop()
    expect(performance.now() - began).toBeGreaterThan(900)
    expect(performance.now() - began).toBeLessThan(5000)
    expect(await request.answer).not.toContain('201')
    expect(server.log()).toContain('"stopped"')
  })

  test('does not wait for idle connections', async () => {
    const server = await startServer()
    expect((await fetch(`http://${server.address}/v2/`)).status).toBe(200)
    const began = performance.now()
    await server.stop()
    expect(performance.now() - began).toBeLessThan(5000)
  })
})
