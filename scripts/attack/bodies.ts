import { connect, type Socket } from 'node:net'
import { type AttackCase, atMost, millisecondsOf } from './case.ts'
import { exchange } from './raw-exchange.ts'
import { type Clients, checkService } from './target.ts'

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
    const taken = await millisecondsOf(() => checkService(target))
    return [atMost('a push, a pull and the sign-ins afterwards', 'hang until a restart', taken, 'ms', 3000)]
  },
}

/** Many bodies of which a byte comes now and then. */
export const slowBodies: AttackCase = {
  name: 'slow-bodies',
  async run(target) {
    await using _ = slowClients(target)
    await Bun.sleep(2000)
    const taken = await millisecondsOf(() => checkService(target))
    await Bun.sleep(SLOW_SECONDS * 1000)
    const again = await millisecondsOf(() => checkService(target))
    const what = `a push, a pull and the sign-ins beside ${SLOW_CONNECTIONS} slow bodies`
    return [atMost(what, 'hang while the bodies last', Math.max(taken, again), 'ms', 3000)]
  },
}

/** Clients of which each sends a byte of a form now and then, until this is disposed of. */
export function slowClients({ url }: Clients) {
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
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      for (const socket of sockets) socket.destroy()
    },
  }
}
