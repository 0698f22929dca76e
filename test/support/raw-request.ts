import { connect, type Socket } from 'node:net'

/** A request that is written by hand, so that it can stall or break off. */
export interface RawRequest {
  /** Sends more of the body. */
  send(bytes: Uint8Array | string): void
  /** Sends more of a body of unknown length. */
  sendChunk(text: string): void
  /** Closes the connection, in the middle of whatever it is in. */
  breakOff(): void
  /** What the server has answered when `isComplete` says that this is all, or when it closes the connection. */
  answer: Promise<string>
}

/** Begins a request; `lines` are its first line and its headers. */
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

/** The head and a body of the length that the head says. */
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

/** Sends the lines of a request, all its headers among them, and answers what comes back. */
export async function exchangeRaw(url: string, lines: string[]): Promise<string> {
  const { hostname, port } = new URL(url)
  const socket = await open(hostname, Number(port))
  const answer = readAnswer(socket)
  socket.write(lines.join('\r\n'))
  return await answer
}
