import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** How long a server may be silent after the whole request, and again after the client's end of the connection. */
const PATIENCE_MILLISECONDS = 1000
const HANG_MILLISECONDS = 15_000

/** No more of an answer is read. */
const ANSWER_BYTES_MAX = 1024 * 1024

export interface RawAnswer {
  /** Of each answer that began, in their order. */
  statuses: number[]
  text: string
  /** Neither an answer came, nor did the server close the connection. */
  isHang: boolean
}

/**
 * Sends bytes as they are, in parts, and reads what comes back. When nothing does, the client ends its side; a server
 * that then neither answers nor closes the connection hangs.
 *
 * @param isReset whether the client breaks the connection off after the last part instead
 */
export function exchange(url: URL, parts: readonly Uint8Array[], isReset = false): Promise<RawAnswer> {
  const socket = open(url)
  const { promise, resolve } = Promise.withResolvers<RawAnswer>()
  let text = ''
  let isHang = false
  let timer: Timer | undefined
  const ended = () => {
    clearTimeout(timer)
    resolve({ statuses: statusesIn(text), text, isHang })
  }
  const wait = (milliseconds: number, then: () => void) => {
    clearTimeout(timer)
    timer = setTimeout(then, milliseconds)
  }
  const hang = () => {
    isHang = text === ''
    socket.destroy()
  }
  const send = async () => {
    for (const part of parts) {
      if (socket.destroyed) return
      socket.write(part)
      if (parts.length > 1) await new Promise(setImmediate)
    }
    if (isReset) return void socket.destroy()
    if (text !== '') return
    wait(PATIENCE_MILLISECONDS, () => {
      socket.end()
      wait(HANG_MILLISECONDS, hang)
    })
  }
  socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => void send())
  socket.on('data', (bytes: Buffer) => {
    text += bytes.toString('latin1')
    if (text.length > ANSWER_BYTES_MAX) socket.destroy()
    // More may come, of this answer or of one to a request that followed.
    else wait(isWhole(text) ? 5 : 100, () => socket.destroy())
  })
  socket.on('error', () => {})
  socket.on('close', ended)
  return promise
}

function open({ hostname, port, protocol }: URL): Socket {
  const to = { host: hostname, port: Number(port) }
  return protocol === 'https:' ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to)
}

function isWhole(text: string): boolean {
  const end = text.lastIndexOf('\r\n\r\n')
  const length = /content-length: (\d+)/i.exec(text.slice(text.lastIndexOf('HTTP/1.1 ')))?.[1]
  return length !== undefined && text.length - end - 4 >= Number(length)
}

function statusesIn(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
}
