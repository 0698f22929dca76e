import type { Peer } from '../../lib/peers.ts'
import { percentile } from '../../lib/percentiles.ts'
import { manifestMediaType } from '../../lib/registry.ts'
import { type Contestant, observe } from './measurement.ts'

/** One small request, sent over and over. */
export interface Repeated {
  port: number
  method: 'GET' | 'HEAD'
  path: string
  /** The Authorization header, if any. */
  authorization?: string | undefined
  connections: number
  seconds: number
}

export interface RequestLoad {
  requestsPerSecond: number
  /** Of all answers, in milliseconds. */
  p50: number
  p99: number
}

/**
 * Sends a request again on each of some keep-alive connections as soon as the answer is there. It looks at no more
 * than an answer's first line and length, which costs as little as wrk does and can do HEAD, which wrk cannot.
 * @throws Error if an answer is not 200
 */
export async function requestLoad(repeated: Repeated): Promise<RequestLoad> {
  const latencies: number[] = []
  const began = performance.now()
  const until = began + repeated.seconds * 1000
  const connections = Array.from({ length: repeated.connections }, () => repeat(repeated, until, latencies))
  await Promise.all(connections)
  const seconds = (performance.now() - began) / 1000
  return {
    requestsPerSecond: latencies.length / seconds,
    p50: percentile(latencies, 0.5),
    p99: percentile(latencies, 0.99),
  }
}

const warmUpSeconds = 0.5

/** Returns a contestant that sends a request over and over, after it has warmed the server up. */
export async function loadContestant(
  name: string,
  peer: Pick<Peer, 'usage'>,
  request: Omit<Repeated, 'seconds'>,
  seconds: number,
): Promise<Contestant> {
  await requestLoad({ ...request, seconds: warmUpSeconds })
  const load = async () => {
    const { requestsPerSecond: value, p50, p99 } = await requestLoad({ ...request, seconds })
    return { value, p50, p99 }
  }
  return { name, measure: () => observe(peer, load) }
}

function repeat(
  { port, method, path, authorization }: Repeated,
  until: number,
  latencies: number[],
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const credential = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
  const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAccept: ${manifestMediaType}\r\n`
  const request = Buffer.from(`${head}${credential}\r\n`)
  let sentAt = 0
  let missing = 0
  /** The length of the last answer: the next one is seldom of another. */
  let usual = 0
  /** A head of which only the beginning has come. */
  let begun: Buffer | undefined
  const socket = {
    open(connection: Bun.Socket) {
      sentAt = performance.now()
      connection.write(request)
    },
    data(connection: Bun.Socket, part: Buffer) {
      const chunk = begun ? Buffer.concat([begun, part]) : part
      begun = undefined
      if (missing === 0) {
        if (chunk.indexOf('\r\n\r\n') < 0) {
          begun = Buffer.from(chunk)
          return
        }
        if (chunk.length !== usual || !isOk(chunk)) usual = answerLength(chunk, method)
        if (usual === 0) return reject(new Error(`${method} ${path}: ${chunk.toString('latin1')}`))
        missing = usual
      }
      missing -= chunk.length
      if (missing > 0) return
      const now = performance.now()
      latencies.push(now - sentAt)
      if (now >= until) return void connection.end()
      sentAt = now
      connection.write(request)
    },
    error(_: Bun.Socket, error: Error) {
      reject(error)
    },
    close() {
      if (performance.now() < until) reject(new Error(`${method} ${path}: the connection was closed`))
      resolve()
    },
  }
  Bun.connect({ hostname: '127.0.0.1', port, socket }).catch(reject)
  return promise
}

/** `HTTP/1.1 2..` */
function isOk(chunk: Buffer): boolean {
  return chunk[9] === 50
}

/** How long an answer is altogether, by its head, which comes in one piece. 0 when it is not one to measure. */
function answerLength(chunk: Buffer, method: Repeated['method']): number {
  const end = chunk.indexOf('\r\n\r\n')
  const head = chunk.toString('latin1', 0, end)
  const body = /^content-length: *(\d+)/im.exec(head)?.[1]
  if (!head.startsWith('HTTP/1.1 200 ') || end < 0 || body === undefined) return 0
  return end + 4 + (method === 'HEAD' ? 0 : Number(body))
}
