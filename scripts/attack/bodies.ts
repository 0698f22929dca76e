import { connect, type Socket } from 'node:net'
import { type AttackCase, millisecondsOf } from './case.ts'
import { exchange } from './raw-exchange.ts'
import { type Client, checkService } from './target.ts'

const SLOW_CONNECTIONS = 256
const SLOW_SECONDS = 5

/** Two equal Content-Length headers, which once stopped every push and sign-in until a restart. */
export const contentLength: AttackCase = {
  name: 'content-length',
  async run(target) {
    const paths = [
      'POST /api/v1/session',
      'POST /token',
      'POST /v1/users/',
      'PUT /v2/a/manifests/1',
      'PUT /api/v1/grants',
    ]
    for (const path of paths) {
      const head = `${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`
      const request = `${head}${'Content-Length: 27\r\n'.repeat(2)}\r\n{"name":"a","password":"b"}`
      await exchange(new URL(target.url), [Buffer.from(request)])
    }
    return [
      {
        what: 'a push, a pull and the sign-ins afterwards',
        before: 'hang until a restart',
        now: await millisecondsOf(() => checkService(target)),
        unit: 'ms',
        limit: ['at most', 3000],
      },
    ]
  },
}

/** Many bodies of which a byte comes now and then. */
export const slowBodies: AttackCase = {
  name: 'slow-bodies',
  async run(target) {
    await using slow = slowClients(target)
    await slow.sent(2)
    const taken = await millisecondsOf(() => checkService(target))
    await slow.sent(SLOW_SECONDS)
    const again = await millisecondsOf(() => checkService(target))
    return [
      {
        what: `a push, a pull and the sign-ins beside ${SLOW_CONNECTIONS} slow bodies`,
        before: 'hang while the bodies last',
        now: Math.max(taken, again),
        unit: 'ms',
        limit: ['at most', 3000],
      },
    ]
  },
}

/** Clients of which each sends a byte of a form now and then, until this is disposed of. */
export function slowClients({ url }: Client) {
  const { hostname, port } = new URL(url)
  const head =
    'POST /token HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Type: application/x-www-form-urlencoded\r\n'
  const sockets = Array.from({ length: SLOW_CONNECTIONS }, (): Socket => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write(`${head}Content-Length: 65536\r\n\r\n`)
    return socket
  })
  const timer = setInterval(() => {
    for (const socket of sockets) socket.write('a')
  }, 500)
  return {
    sent: (seconds: number) => Bun.sleep(seconds * 1000),
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      for (const socket of sockets) socket.destroy()
    },
  }
}
