import { createServer } from 'node:net'
import { join as joinPath } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { build } from '../../build.ts'
import { runCommand } from '../../lib/command.ts'
import type { Server } from '../../lib/server.ts'
import { join } from './recording-relay.ts'

/** Where Docker pulls images of Docker Hub from. */
export const HUB_HOST = 'registry-1.docker.io'

/** A registry that clients reach by HTTPS under Docker Hub's name, through a proxy. */
export interface Hub extends AsyncDisposable {
  /** The registry itself, `host:port`. */
  registry: string
  /** The HTTP proxy, `host:port`. */
  proxy: string
  /** A file with the certificate to trust. */
  certificate: string
  executable: string
  stop(): Promise<void>
  restart(): Promise<void>
}

export async function startHub(folder: string, start: () => Promise<Server>): Promise<Hub> {
  const [key, certificate] = [joinPath(folder, 'hub.key'), joinPath(folder, 'hub.pem')]
  const subject = ['-subj', `/CN=${HUB_HOST}`, '-addext', `subjectAltName=DNS:${HUB_HOST}`]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  await runCommand(['openssl', 'req', ...kind, ...subject, '-keyout', key, '-out', certificate])
  let server = await start()
  const tls = createTlsServer(
    { key: await Bun.file(key).text(), cert: await Bun.file(certificate).text() },
    (client) => join(client, server.address),
  )
  const tlsPort = await listen(tls)
  const proxy = createServer((client) => {
    client.once('data', (head) => {
      if (!head.toString('latin1').startsWith(`CONNECT ${HUB_HOST}:443 `)) return client.destroy()
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      join(client, `127.0.0.1:${tlsPort}`)
    })
    client.on('error', () => client.destroy())
  })
  const proxyPort = await listen(proxy)
  return {
    get registry() {
      return server.address
    },
    proxy: `127.0.0.1:${proxyPort}`,
    certificate,
    executable: process.env.CAY_EXECUTABLE ?? (await build()),
    async stop() {
      await server.stop()
    },
    async restart() {
      server = await start()
    },
    async [Symbol.asyncDispose]() {
      proxy.close()
      tls.close()
      await server.stop()
    },
  }
}

async function listen(server: {
  listen(port: number, host: string, done: () => void): unknown
  address(): unknown
}) {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port
}
