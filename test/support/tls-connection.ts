import { connect, type TLSSocket } from 'node:tls'

/** A raw TLS connection, whose responses can be read slowly. */
export interface TlsConnection {
  /** The SHA-256 of the server's certificate. */
  fingerprint: string
  /** Sends a request; returns the head and body of a response of known length. */
  request(path: string): Promise<{ head: string; body: Buffer }>
  /** Sends a request and reads only the first bytes of the response until `rest` is called. */
  begin(path: string): Promise<{ rest: () => Promise<{ head: string; body: Buffer }> }>
  /** Resolves when either side has closed it. */
  closed: Promise<void>
  close(): void
}

/** Connects to `host:port`, whose certificate must be issued by `ca`. */
export function openTlsConnection(address: string, ca: string): Promise<TlsConnection> {
  const { hostname, port } = new URL(`https://${address}`)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), ca, servername: 'localhost' }, () =>
      resolve(connection(socket, address)),
    )
    socket.once('error', reject)
  })
}

function connection(socket: TLSSocket, address: string): TlsConnection {
  let received = Buffer.alloc(0)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => socket.destroy())
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes])
  })
  const send = (path: string) => {
    received = Buffer.alloc(0)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${address}\r\n\r\n`)
  }
  const whole = async () => {
    for (;;) {
      const end = received.indexOf('\r\n\r\n')
      const head = received.subarray(0, Math.max(0, end)).toString()
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1])
      if (end >= 0 && received.length >= end + 4 + length) return { head, body: received.subarray(end + 4) }
      if (socket.destroyed) throw new Error(`closed after ${received.length} bytes`)
      await some()
    }
  }
  const some = () =>
    new Promise<void>((resolve) => {
      const ready = () => {
        socket.off('data', ready)
        socket.off('close', ready)
        resolve()
      }
      socket.on('data', ready)
      socket.on('close', ready)
    })
  return {
    fingerprint: socket.getPeerCertificate().fingerprint256,
    async request(path) {
      send(path)
      return await whole()
    },
    async begin(path) {
      send(path)
      await some()
      socket.pause()
      return {
        rest: () => {
          socket.resume()
          return whole()
        },
      }
    },
    closed,
    close: () => socket.destroy(),
  }
}
