import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Credentials } from '../../src/http/listener.ts'
import { issueCertificate, makeAuthority } from '../../src/tls/certificate.ts'
import { digestOf, type Named, randomBlob } from '../support/content.ts'
import { pushBlob } from '../support/push.ts'
import { SERVERS, type TestServer } from '../support/server.ts'
import { openTlsConnection } from '../support/tls-connection.ts'
import { until } from '../support/until.ts'

const NAMES = { dns: ['localhost'], addresses: ['127.0.0.1'] }

for (const [kind, start] of SERVERS) {
  describe(`a certificate from files, ${kind}`, () => {
    const resources = new AsyncDisposableStack()
    let folder: TemporaryFolder
    let authority: Credentials
    let server: TestServer
    let address: string
    let blob: Named
    beforeAll(async () => {
      folder = resources.use(await temporaryFolder('certificate'))
      authority = await makeAuthority('test', { dns: ['localhost'], addresses: [] }, Date.now())
      for (const name of ['cert.pem', 'key.pem']) symlinkSync(`..data/${name}`, join(folder.path, name))
      await show('1')
      server = resources.use(
        await start({ settings: { tls: `${folder.path}/cert.pem,${folder.path}/key.pem` } }),
      )
      address = new URL(server.url).host
      blob = randomBlob(24 * 1024 * 1024)
      await pushBlob({ fetch: ask }, 'a', blob)
    }, 60_000)
    afterAll(() => resources.disposeAsync())

    const ask = (path: string, init: RequestInit = {}) =>
      fetch(new URL(path, `https://${address}`), { ...init, tls: { ca: authority.certificate } })
    const connect = () => openTlsConnection(address, authority.certificate)

    /** Replaces the certificate and key as Kubernetes does, by replacing the link to their folder. */
    async function show(name: string): Promise<string> {
      const { certificate, key } = await issueCertificate(authority, NAMES, Date.now())
      mkdirSync(join(folder.path, name))
      writeFileSync(join(folder.path, name, 'cert.pem'), certificate)
      writeFileSync(join(folder.path, name, 'key.pem'), key)
      symlinkSync(name, join(folder.path, '..new'))
      renameSync(join(folder.path, '..new'), join(folder.path, '..data'))
      return new X509Certificate(certificate).fingerprint256
    }

    async function shown(): Promise<string> {
      const connection = await connect()
      connection.close()
      return connection.fingerprint
    }

    test('is reloaded when it changes; open connections and a slow download continue, new connections get the new one', async () => {
      const [slow, busy, idle] = await Promise.all([connect(), connect(), connect()])
      await idle.request('/livez')
      const download = await slow.begin(`/v2/a/blobs/${blob.digest}`)
      const before = slow.fingerprint
      const wanted = await show('2')
      expect(wanted).not.toBe(before)
      await until(async () => {
        const { head } = await busy.request('/v2/')
        expect(head).toStartWith('HTTP/1.1 200')
        return head.toLowerCase().includes('connection: close')
      })
      await until(async () => (await shown()) === wanted)
      await idle.closed
      for (let i = 0; i < 20; i++) expect(await shown()).toBe(wanted)
      const { head, body } = await download.rest()
      expect(head).toStartWith('HTTP/1.1 200')
      expect(digestOf(body)).toBe(blob.digest)
      slow.close()
    }, 60_000)

    test('stays in use when the new one does not match its key, and the log says why', async () => {
      const before = await shown()
      const other = await issueCertificate(authority, NAMES, Date.now())
      writeFileSync(join(folder.path, '2', 'cert.pem'), other.certificate)
      writeFileSync(join(folder.path, 'touched'), '')
      const refusal = ({ error }: Record<string, unknown>) =>
        /is not the key of the certificate/.test(`${error}`)
      await until(() => server.log().some(refusal))
      expect(await shown()).toBe(before)
      expect((await ask('/v2/')).status).toBe(200)
      expect(JSON.stringify(server.log())).not.toContain('PRIVATE KEY')
    })
  })
}
