import { connect, type Socket } from 'node:net'
import { processUsage } from '../lib/process-usage.ts'
import { type AttackCase, atMost, millisecondsOf } from './case.ts'
import { largeManifest } from './describing.ts'
import { ATTACKER, type Clients, checkService, PASSWORD, pushImage } from './target.ts'

const MiB = 1024 * 1024
const CONNECTIONS = 200
const SECONDS_MAX = 15

/** Many downloads of a large manifest, of which nothing is read. */
export const slowReaders: AttackCase = {
  name: 'slow-readers',
  async run(target) {
    const path = `/v2/${ATTACKER}/app/manifests/large`
    const as = `${ATTACKER}:${PASSWORD}`
    await pushImage(target.attacker, `${ATTACKER}/app`)
    await target.attacker.pushManifest(`${ATTACKER}/app`, 'large', largeManifest().padEnd(4 * MiB))
    await target.attacker.send('GET', path)
    const before = processUsage(target.server.pid).rssBytes
    await using readers = stalledReaders(target, path, as)
    const taken = await millisecondsOf(() => checkService(target))
    await readers.begun()
    const held = processUsage(target.server.pid).rssBytes - before
    const what = `memory for ${CONNECTIONS} downloads of a manifest of 4 MiB that one client does not read`
    return [
      atMost(what, '886 MiB', held / MiB, 'MiB', 150),
      atMost('a push, a pull and the sign-ins beside them', 'the same', taken, 'ms', 3000),
    ]
  },
}

/** Clients that request a path and read nothing of the response, until this is disposed of. */
function stalledReaders({ url }: Clients, path: string, as: string) {
  const { hostname, port } = new URL(url)
  const head = `GET ${path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\nAuthorization: Basic ${btoa(as)}\r\n\r\n`
  const answered: Promise<void>[] = []
  const sockets = Array.from({ length: CONNECTIONS }, (): Socket => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write(head)
    const begun = new Promise<void>((resolve) => socket.once('data', () => resolve()))
    answered.push(begun.then(() => void socket.pause()))
    return socket
  })
  return {
    begun: () => Promise.race([Promise.all(answered), Bun.sleep(SECONDS_MAX * 1000)]),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
    },
  }
}
