import { beforeAll, describe, expect, test } from 'bun:test'
import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../../src/tls/certificate.ts'
import { digestOf, randomBlob } from '../support/content.ts'
import { openssl } from '../support/openssl.ts'
import { pushBlob } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { SERVERS, startExecutable, startInProcess, type TestServer } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

/** Starts a server with a certificate of its own authority, and returns how to call it. */
async function withAuthority(server: TestServer) {
  const ca = readFileSync(join(server.data, 'tls', 'rootCA.pem'), 'utf8')
  const address = new URL(server.url).host
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(new URL(path, `https://${address}`), { ...init, tls: { ca } })
  return { ca, address, ask }
}

describe.each(SERVERS)('--tls auto, %s', (_, start) => {
  test('push and pull work, everybody can get the authority, and plain HTTP is refused', async () => {
    await using server = await start({ settings: { tls: 'auto', host: 'registry.example,192.0.2.9' } })
    const { ca, address, ask } = await withAuthority(server)
    const handlers = process.listenerCount('SIGWINCH')
    const blob = randomBlob(3_000_000)
    await pushBlob({ fetch: ask }, 'a', blob)
    expect(digestOf(await (await ask(`/v2/a/blobs/${blob.digest}`)).bytes())).toBe(blob.digest)
    expect(process.listenerCount('SIGWINCH')).toBe(handlers)

    const pem = await ask('/rootCA.pem')
    expect([pem.status, pem.headers.get('content-type')]).toEqual([200, 'application/x-pem-file'])
    expect(await pem.text()).toBe(ca)
    const der = await ask('/ca.crt')
    expect([der.status, der.headers.get('content-type')]).toEqual([200, 'application/pkix-cert'])
    expect(new X509Certificate(await der.bytes()).fingerprint256).toBe(new X509Certificate(ca).fingerprint256)

    await expect(fetch(`https://${address}/v2/`)).rejects.toThrow()
    const plain = await fetch(`http://${address}/v2/`).then(
      ({ status }) => status,
      () => 0,
    )
    expect(plain).not.toBe(200)
    expect(JSON.stringify(server.log())).not.toContain('PRIVATE KEY')
  })

  test('TLS: without it the server offers no authority', async () => {
    await using server = await start()
    expect((await server.fetch('/rootCA.pem')).status).toBe(404)
    expect(existsSync(join(server.data, 'tls'))).toBe(false)
  })

  test.skipIf(Bun.which('openssl') === null)(
    'openssl verifies the certificate, and requires TLS 1.2 or later',
    async () => {
      await using server = await start({ settings: { tls: 'auto' } })
      const connect = opensslClient(server)
      for (const version of ['-tls1_2', '-tls1_3']) {
        const verified = await connect(version, '-verify_hostname', 'localhost')
        expect([verified.code, verified.output]).toEqual([
          0,
          expect.stringContaining('Verify return code: 0 (ok)'),
        ])
      }
      expect((await connect('-verify_ip', '127.0.0.1')).code).toBe(0)
      expect((await connect('-verify_hostname', 'other.example')).code).not.toBe(0)
      for (const version of ['-tls1', '-tls1_1']) {
        const refused = await connect(version, '-cipher', 'ALL:@SECLEVEL=0')
        expect(refused.code).not.toBe(0)
        expect(refused.output).toContain('alert protocol version')
      }
    },
  )
})

test.skipIf(Bun.which('openssl') === null)('TLS: version 1.2 offers no cipher in CBC mode', async () => {
  await using server = await startInProcess({ settings: { tls: 'auto' } })
  const connect = opensslClient(server)
  const cbc = 'ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA'
  expect((await connect('-tls1_2', '-cipher', cbc)).output).toContain('alert handshake failure')
  const gcm = 'ECDHE-ECDSA-AES128-GCM-SHA256'
  expect((await connect('-tls1_2', '-cipher', `${cbc}:${gcm}`)).output).toContain(gcm)
})

/** Connects with openssl and these arguments, trusting the server's authority. */
function opensslClient({ data, url }: TestServer) {
  const authority = join(data, 'tls', 'rootCA.pem')
  const always = ['-connect', new URL(url).host, '-CAfile', authority, '-verify_return_error']
  return (...args: string[]) => openssl(['s_client', ...always, ...args], 'Q\n')
}

describe('cay serve with TLS', () => {
  test('logs the authority and its fingerprint in the line "listening"', async () => {
    await using server = await startExecutable({ settings: { tls: 'auto' } })
    const { ca } = await withAuthority(server)
    expect(server.log().find(({ msg }) => msg === 'listening')).toMatchObject({
      authority: join(server.data, 'tls', 'rootCA.pem'),
      sha256: new X509Certificate(ca).fingerprint256,
    })
  })

  test('names a port that is already in use', async () => {
    await using server = await startExecutable({ settings: { tls: 'auto' } })
    await using folder = await temporaryFolder('serve')
    const { host, port } = new URL(server.url)
    const { code, errors } = await runCay(['serve', '--listen', host, '--data', folder.path, '--tls', 'auto'])
    expect([code, errors]).toEqual([
      1,
      `cay: port ${port} is in use: choose another one with --listen 127.0.0.1:PORT\n`,
    ])
  })

  test('refuses to listen beyond loopback with open access, or without the setting tls', async () => {
    await using folder = await temporaryFolder('serve')
    const serve = ['serve', '--listen', '0.0.0.0:0', '--data', folder.path]
    for (const options of [['--tls', 'auto', '--access', 'open'], ['--access', 'open'], []]) {
      const { code, errors } = await runCay([...serve, ...options])
      expect([code, errors]).toEqual([2, expect.stringContaining('loopback only')])
    }
    const { errors } = await runCay(serve)
    for (const choice of ['--tls auto', '--tls cert.pem,key.pem', '--tls off'])
      expect(errors).toContain(choice)
  })

  test('listens beyond loopback with accounts and the setting tls', async () => {
    for (const tls of ['auto', 'off']) {
      const settings = { listen: '0.0.0.0:0', access: 'accounts', tls }
      await using server = await startInProcess({ settings })
      const scheme = tls === 'auto' ? 'https' : 'http'
      const url = `${scheme}://127.0.0.1:${server.url.split(':').at(-1)}/v2/`
      const response = await fetch(url, { tls: { rejectUnauthorized: false } })
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([
        401,
        expect.stringContaining(`Bearer realm="${scheme}://127.0.0.1:`),
      ])
    }
  })

  test('cay health trusts the authority of the data folder and no other', async () => {
    await using server = await startExecutable({ settings: { tls: 'auto' } })
    await using other = await startExecutable({ settings: { tls: 'auto' } })
    const { address } = await withAuthority(server)
    const health = ['health', '--listen', address, '--tls', 'auto', '--data']
    expect(await runCay([...health, server.data])).toEqual({ code: 0, output: 'ok\n', errors: '' })
    expect(await runCay([...health, other.data])).toMatchObject({ code: 5, output: '' })
  })

  const pair = async () => {
    const [now, names] = [Date.now(), { dns: ['registry.example'], addresses: [] }]
    const [authority, another] = await Promise.all([
      makeAuthority('a', names, now),
      makeAuthority('b', names, now),
    ])
    const DAYS = 86_400_000
    return {
      good: await issueCertificate(authority, names, now),
      ended: await issueCertificate(authority, names, now - 400 * DAYS),
      early: await issueCertificate(authority, names, now + 5 * DAYS),
      another,
    }
  }

  test.each([
    [
      'ended',
      /^tls: clients will refuse this server, unless this host's clock is wrong: the certificate in .*cert\.pem expired on 20/,
    ],
    ['early', /cert\.pem is not valid before 20.*$/],
  ] as const)(
    'files that do not hold now (%s) are served, for the clock may be wrong, and the log says so',
    async (which, message) => {
      await using folder = await temporaryFolder('certificate')
      const [certificate, key] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')]
      const shown = (await pair())[which]
      writeFileSync(certificate, shown.certificate)
      writeFileSync(key, shown.key)
      await using server = await startExecutable({ settings: { tls: `${certificate},${key}` } })
      const told = server.log().filter(({ level }) => level === 'error')
      expect(told).toMatchObject([{ msg: expect.stringMatching(message) }])
    },
  )

  test('cay health works on loopback with a certificate for any name', async () => {
    await using folder = await temporaryFolder('certificate')
    const [certificate, key] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')]
    const { good } = await pair()
    writeFileSync(certificate, good.certificate)
    writeFileSync(key, good.key)
    await using server = await startExecutable({ settings: { tls: `${certificate},${key}` } })
    const { host } = new URL(server.url)
    const health = ['health', '--listen', host, '--tls', `${certificate},${key}`, '--data', server.data]
    expect(await runCay(health)).toEqual({ code: 0, output: 'ok\n', errors: '' })
  })

  test.each([
    ['gone', /^cay: tls: cannot read .*cert\.pem: ENOENT/],
    ['half', /^cay: tls: .*cert\.pem does not contain a valid PEM certificate\n$/],
    ['half a key', /^cay: tls: .*key\.pem does not contain a valid PEM key\n$/],
    ['another key', /^cay: tls: .*key\.pem is not the key of the certificate in tls: .*cert\.pem\n$/],
  ])('refuses to start with bad files (%s), naming them', async (how, message) => {
    await using folder = await temporaryFolder('certificate')
    const [certificate, key] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')]
    const { good: shown, another } = await pair()
    const half = (text: string) => text.slice(0, text.length / 2)
    if (how !== 'gone')
      writeFileSync(certificate, how === 'half' ? half(shown.certificate) : shown.certificate)
    const secret = how === 'another key' ? another.key : shown.key
    writeFileSync(key, how === 'half a key' ? half(secret) : secret)
    const args = ['serve', '--listen', '127.0.0.1:0', '--data', join(folder.path, 'data')]
    const { code, errors } = await runCay([...args, '--tls', `${certificate},${key}`])
    expect(errors).toMatch(message)
    expect(code).toBe(2)
  })
})
