import { connect, type Socket } from 'node:net'

/** A request on a raw socket, which can stall or be interrupted. */
export interface RawRequest {
  /** Sends a part of the body. */
  send(bytes: Uint8Array | string): void
  /** Sends a chunk of a body of unknown length. */
  sendChunk(text: string): void
  /** Closes the connection immediately. */
  breakOff(): void
  /** Resolves to the response once `isComplete` accepts it, or the server closes the connection. */
  answer: Promise<string>
}

/** Starts a request; `lines` are the request line and headers. */
export async function beginRequest(url: string, lines: string[]): Promise<RawRequest> {
  const { hostname, port, host } = new URL(url)
  const socket = await open(hostname, Number(port))
  const answer = readAnswer(socket)
  const send = (bytes: Uint8Array | string) => void socket.write(bytes)
  send(`${[lines[0], `Host: ${host}`, ...lines.slice(1)].join('\r\n')}\r\n\r\n`)
  return {
    send,
    sendChunk: (text) => send(`${text.length.toString(16)}\r\n${text}\r\n`),
    breakOff: () => socket.destroy(),
    answer,
  }
}

function open(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, host, () => resolve(socket))
    socket.on('error', reject)
  })
}

/** Reads a response until its head and a body of its Content-Length have arrived. */
function readAnswer(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1')
      const [head = '', body = ''] = text.split('\r\n\r\n')
      const length = /content-length: (\d+)/i.exec(head)?.[1] ?? '0'
      if (!text.includes('\r\n\r\n') || body.length < Number(length)) return
      resolve(text)
      socket.end()
    })
    socket.on('close', () => resolve(text))
  })
}

/** Sends a request of these lines, with all its headers, and returns the response. */
export async function exchangeRaw(url: string, lines: string[]): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = await open(hostname, Number(port))
  const answer = readAnswer(socket)
  socket.write(lines.join('\r\n'))
  return await answer
}
