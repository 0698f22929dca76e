import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Credentials } from '../../src/http/listener.ts'
import { issueCertificate } from '../../src/tls/certificate.ts'
import type { HostFacts } from '../../src/tls/tls.ts'
import { openAutomatic } from '../../src/tls/tls.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { openssl } from '../support/openssl.ts'

const DAY = 86_400_000

describe('automatic TLS', () => {
  let folder: TemporaryFolder
  let now: number
  let facts: HostFacts
  let changes: Credentials[]
  let lines: Record<string, unknown>[]
  beforeEach(async () => {
    folder = await temporaryFolder('tls')
    now = Date.now()
    facts = { hostname: 'box.example', addresses: ['192.0.2.7'], named: ['registry.example', '2001:db8::7'] }
    changes = []
  })
  afterEach(() => folder[Symbol.asyncDispose]())

  const open = () => {
    const { log, lines: told } = openMemoryLog()
    lines = told
    const onChange = (credentials: Credentials) => void changes.push(credentials)
    return openAutomatic({ data: folder.path, log, now: () => now, onChange, facts: () => facts })
  }
  const file = (name: string) => join(folder.path, 'tls', name)
  const shown = ({ certificate }: Credentials) => new X509Certificate(certificate)

  test('secret files are private to their owner, and no partly written file remains', async () => {
    await open()
    expect(readdirSync(join(folder.path, 'tls')).sort()).toEqual([
      'rootCA-key.pem',
      'rootCA.pem',
      'server.pem',
    ])
    const mode = (path: string) => (statSync(path).mode & 0o777).toString(8)
    expect(mode(join(folder.path, 'tls'))).toBe('700')
    expect(['rootCA-key.pem', 'rootCA.pem', 'server.pem'].map((name) => mode(file(name)))).toEqual([
      '600',
      '644',
      '600',
    ])
    expect(readFileSync(file('rootCA.pem'), 'utf8')).not.toContain('PRIVATE')
  })

  test.skipIf(Bun.which('openssl') === null)(
    'openssl verifies the certificate for each of its names and no other',
    async () => {
      await open()
      const verify = (...args: string[]) =>
        openssl([
          'verify',
          '-x509_strict',
          '-purpose',
          'sslserver',
          '-CAfile',
          file('rootCA.pem'),
          ...args,
          file('server.pem'),
        ])
      for (const name of ['localhost', 'box.example', 'registry.example'])
        expect(await verify('-verify_hostname', name)).toMatchObject({ code: 0 })
      for (const address of ['127.0.0.1', '::1', '192.0.2.7', '2001:db8::7'])
        expect(await verify('-verify_ip', address)).toMatchObject({ code: 0 })
      expect((await verify('-verify_hostname', 'other.example')).code).not.toBe(0)
      const text = (name: string) => openssl(['x509', '-in', file(name), '-noout', '-text'])
      expect((await text('rootCA.pem')).output).toMatch(
        /CN = cay on box\.example[\s\S]*P-256[\s\S]*Basic Constraints: critical\s+CA:TRUE, pathlen:0\s+.*Key Usage: critical\s+Certificate Sign, CRL Sign/,
      )
      expect((await text('server.pem')).output).toMatch(
        /Basic Constraints: critical\s+CA:FALSE[\s\S]*Extended Key Usage:\s+TLS Web Server Authentication\n/,
      )
    },
  )

  test.skipIf(Bun.which('openssl') === null)(
    'the authority can sign only for names of this host and private ones',
    async () => {
      const tls = await open()
      const authority = {
        certificate: tls.authority!.certificate,
        key: readFileSync(file('rootCA-key.pem'), 'utf8'),
      }
      const verify = async (dns: string) => {
        const { certificate } = await issueCertificate(
          authority,
          { dns: ['localhost', dns], addresses: [] },
          now,
        )
        writeFileSync(file('other.pem'), certificate)
        return (await openssl(['verify', '-x509_strict', '-CAfile', file('rootCA.pem'), file('other.pem')]))
          .code
      }
      expect(await verify('sub.registry.example')).toBe(0)
      expect(await verify('nas.local')).toBe(0)
      expect(await verify('www.google.com')).not.toBe(0)
    },
  )

  test('a new name that the authority cannot sign for is left out, and the log says so', async () => {
    const first = (await open()).credentials()
    facts = { ...facts, named: [...facts.named, 'other.example', 'new.lan'] }
    const tls = await open()
    expect(shown(tls.credentials()).subjectAltName).toContain('new.lan')
    expect(shown(tls.credentials()).subjectAltName).not.toContain('other.example')
    expect(lines.some(({ msg }) => String(msg).includes('does not cover other.example'))).toBe(true)
    expect((await open()).credentials()).toEqual(tls.credentials())
    expect(tls.credentials()).not.toEqual(first)
  })

  test('the certificate is valid for 397 days, and its authority for ten years', async () => {
    const tls = await open()
    const days = ({ validFromDate, validToDate }: X509Certificate) =>
      (validToDate.getTime() - validFromDate.getTime()) / DAY
    expect(days(shown(tls.credentials()))).toBeCloseTo(397, 1)
    const authority = new X509Certificate(tls.authority!.certificate)
    expect((authority.validToDate.getTime() - now) / DAY).toBeCloseTo(3650, 0)
    expect(authority.validFromDate.getTime()).toBe(Date.UTC(2026, 0, 1))
  })

  test('the certificate survives a restart, and is renewed well before it expires', async () => {
    const first = (await open()).credentials()
    const tls = await open()
    expect(tls.credentials()).toEqual(first)
    now += 270 * DAY
    await tls.check()
    expect(changes).toEqual([])
    now += 15 * DAY
    await tls.check()
    expect(changes).toEqual([tls.credentials()])
    expect(shown(tls.credentials()).validToDate.getTime()).toBeGreaterThan(now + 390 * DAY)
    expect(shown(tls.credentials()).verify(new X509Certificate(tls.authority!.certificate).publicKey)).toBe(
      true,
    )
    await tls.check()
    expect(changes).toHaveLength(1)
  })

  test('the certificate is renewed when the host gets an address, not when it loses one', async () => {
    const tls = await open()
    facts = { ...facts, addresses: [] }
    await tls.check()
    expect(changes).toEqual([])
    facts = { ...facts, addresses: ['198.51.100.1'] }
    await tls.check()
    expect(changes).toHaveLength(1)
    expect(shown(tls.credentials()).checkIP('198.51.100.1')).toBe('198.51.100.1')
  })

  test('the certificate never outlives its authority, and the log warns before that expires', async () => {
    const tls = await open()
    now += 3500 * DAY
    await tls.check()
    const authority = new X509Certificate(tls.authority!.certificate)
    expect(shown(tls.credentials()).validTo).toBe(authority.validTo)
    await tls.check()
    expect(changes).toHaveLength(1)
    now += 200 * DAY
    const late = await open()
    expect(shown(late.credentials()).validToDate.getTime()).toBeGreaterThan(now + 390 * DAY)
    expect(lines.at(-2)).toMatchObject({
      level: 50,
      msg: expect.stringMatching(
        /^clients will refuse this server: .*rootCA\.pem expired on .*remove .*\/tls, restart, and trust/,
      ),
    })
    await late.check()
    expect(changes).toHaveLength(1)
  })

  test('a clock that was ahead, or is in 1970, prevents no start, and a certificate with wrong dates is replaced', async () => {
    const right = now
    now += 3000 * DAY
    await open()
    now = right
    const tls = await open()
    const { validFromDate, validToDate } = shown(tls.credentials())
    expect(validFromDate.getTime()).toBeLessThan(right)
    expect(validToDate.getTime()).toBeLessThan(right + 398 * DAY)
    now = 0
    await open()
    now = right
    await tls.check()
    expect(shown((await open()).credentials()).validFromDate.getTime()).toBeLessThan(right)
  })

  test('a partly written certificate is replaced', async () => {
    const first = (await open()).credentials()
    const text = readFileSync(file('server.pem'), 'utf8')
    for (const length of [0, 100, text.length - 100]) {
      writeFileSync(file('server.pem'), text.slice(0, length))
      const { key, certificate } = (await open()).credentials()
      expect(certificate).not.toBe(first.certificate)
      expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))).toBe(true)
    }
  })

  test.each([
    ['rootCA.pem', 'half'],
    ['rootCA-key.pem', 'half'],
    ['rootCA-key.pem', 'gone'],
    ['rootCA-key.pem', 'other'],
  ])('an authority whose %s is damaged (%s) is not silently replaced', async (name, how) => {
    await open()
    const text = readFileSync(file(name), 'utf8')
    if (how === 'gone') rmSync(file(name))
    else if (how === 'half') writeFileSync(file(name), text.slice(0, text.length / 2))
    else
      writeFileSync(
        file(name),
        /-----BEGIN PRIVATE[\s\S]*/.exec(readFileSync(file('server.pem'), 'utf8'))![0],
      )
    await expect(open()).rejects.toThrow(
      new RegExp(`^cay's own authority cannot be used: .*${name}.*restore .*/tls from a backup, or remove`),
    )
  })

  test('a key without its certificate, as after a crash, is replaced, because nobody has seen it', async () => {
    await open()
    rmSync(file('rootCA.pem'))
    const tls = await open()
    expect(shown(tls.credentials()).verify(new X509Certificate(tls.authority!.certificate).publicKey)).toBe(
      true,
    )
  })
})
