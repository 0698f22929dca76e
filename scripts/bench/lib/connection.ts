/** An answer's status, and its Location if it has one. */
export interface Head {
  status: number
  location: string
}

/** A keep-alive connection for small requests, one after another. It reads of an answer what a push needs. */
export class Connection {
  private readonly socket: Bun.Socket
  private readonly host: string
  private pending: PromiseWithResolvers<Head> | undefined
  private received = ''

  private constructor(socket: Bun.Socket, host: string) {
    this.socket = socket
    this.host = host
  }

  static async open(port: number): Promise<Connection> {
    let connection: Connection | undefined
    const socket = await Bun.connect({
      hostname: '127.0.0.1',
      port,
      socket: {
        data: (_, chunk) => connection?.receive(chunk),
        close: () => connection?.fail(new Error('the connection was closed')),
        error: (_, error) => connection?.fail(error),
      },
    })
    connection = new Connection(socket, `127.0.0.1:${port}`)
    return connection
  }

  /** Sends a request that fits into the socket's buffer, and waits for its answer. */
  request(method: string, path: string, body: Uint8Array = new Uint8Array(), headers = ''): Promise<Head> {
    const head = `${method} ${path} HTTP/1.1\r\nHost: ${this.host}\r\nContent-Length: ${body.length}\r\n${headers}\r\n`
    const bytes = Buffer.concat([Buffer.from(head), body])
    this.pending = Promise.withResolvers()
    if (this.socket.write(bytes) !== bytes.length) this.fail(new Error('the request was not sent at once'))
    return this.pending.promise
  }

  /** Does the same, and expects one of these statuses. */
  async expect(status: number, ...request: Parameters<Connection['request']>): Promise<Head> {
    const head = await this.request(...request)
    if (head.status !== status) throw new Error(`${request[0]} ${request[1]}: ${head.status}`)
    return head
  }

  close(): void {
    this.pending = undefined
    this.socket.end()
  }

  private receive(chunk: Buffer): void {
    this.received += chunk.toString('latin1')
    const end = this.received.indexOf('\r\n\r\n')
    if (end < 0) return
    const head = this.received.slice(0, end)
    const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
    if (this.received.length < end + 4 + length) return
    this.received = ''
    const location = /^location: *(?:https?:\/\/[^/]+)?(\S+)/im.exec(head)?.[1] ?? ''
    this.pending?.resolve({ status: Number(head.slice(9, 12)), location })
  }

  private fail(error: Error): void {
    this.pending?.reject(error)
  }
}
