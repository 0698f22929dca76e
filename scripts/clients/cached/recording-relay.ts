import { connect, createServer, type Socket } from 'node:net'

/** Forwards connections, and records what clients send. */
export interface RecordingRelay extends AsyncDisposable {
  /** `host:port` */
  address: string
  /** All that clients have sent. */
  received(): string
  forwardTo(address: string): void
}

export async function startRecordingRelay(target: string, host = '127.0.0.1'): Promise<RecordingRelay> {
  let current = target
  const parts: Buffer[] = []
  const sockets = new Set<Socket>()
  const relay = createServer((client) => {
    client.on('data', (bytes) => parts.push(bytes))
    for (const socket of join(client, current)) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
  })
  await new Promise<void>((resolve) => relay.listen(0, host, resolve))
  return {
    address: `${host}:${(relay.address() as { port: number }).port}`,
    received: () => Buffer.concat(parts).toString('latin1'),
    forwardTo(address) {
      current = address
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => relay.close(resolve))
    },
  }
}

/** Connects a client with an address. When one end fails, both are closed. */
export function join(client: Socket, address: string): [Socket, Socket] {
  const { hostname, port } = new URL(`http://${address}`)
  const onward = connect(Number(port), hostname)
  client.pipe(onward).pipe(client)
  for (const socket of [client, onward]) {
    socket.on('error', () => {
      client.destroy()
      onward.destroy()
    })
  }
  return [client, onward]
}
