import { deepEqual } from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { build } from './build.ts'
import { type CaseResult, type Client, printResult, runClient } from './clients/client.ts'
import { distrusting, trusting } from './clients/over-tls.ts'
import { runCommand } from './command.ts'
import { startServer } from './server.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { bringTools } from './toolchain.ts'

/**
 * Docker and others take registries on 127.0.0.1 and ::1 without verifying them. So clients use this address, which
 * nobody routes (RFC 2544), and which the loopback interface has while this runs.
 */
const ADDRESS = '198.18.0.1'

/** What `cay trust` may change on this host. */
const PLACES = [
  '/etc/ssl/certs',
  '/usr/local/share/ca-certificates',
  '/etc/docker',
  '/etc/containers',
  '/etc/containerd',
]

/**
 * `tls-clients`: on a Debian host, as root, real clients push to the executable and pull from it over HTTPS, with no
 * flag that weakens it: none does before `cay trust --install`, each does after it, and `--uninstall` leaves the host
 * as it was.
 */
export async function run(): Promise<void> {
  const executable = process.env.CAY_EXECUTABLE ?? (await build())
  const { ip = '' } = await bringTools(['ip'])
  await using folder = await temporaryFolder('tls-clients')
  const data = join(folder.path, 'data')
  await using server = await startServer({ data, args: ['--tls', 'auto', '--host', ADDRESS] })
  await runCommand([ip, 'address', 'add', `${ADDRESS}/32`, 'dev', 'lo'])
  const results: CaseResult[] = []
  try {
    await using relay = await startRelay(server.address)
    const trust = (...args: string[]) =>
      runCommand([executable, 'trust', '--data', data, '--registry', relay.address, ...args])
    const inCase = (name: string, work: () => Promise<unknown>) => report('cay trust', name, work, results)
    await runClients(distrusting, relay.address, join(folder.path, 'before'), results)
    const before = await snapshot()
    try {
      await inCase('--install', () => trust('--install'))
      await runClients(trusting, relay.address, join(folder.path, 'after'), results)
    } finally {
      await inCase('--uninstall, which leaves the host as it was', async () => {
        await trust('--uninstall')
        deepEqual(await snapshot(), before)
      })
    }
  } finally {
    await runCommand([ip, 'address', 'del', `${ADDRESS}/32`, 'dev', 'lo'])
  }
  const failed = results.filter(({ error }) => error !== undefined).length
  if (failed > 0) console.log(`The server's log:\n${server.log()}`)
  console.log(`${results.length - failed} passed, ${failed} failed`)
  if (failed > 0) process.exitCode = 1
}

async function runClients(clients: Client[], registry: string, folder: string, results: CaseResult[]) {
  const keep = (result: CaseResult) => {
    results.push(result)
    printResult(result)
  }
  for (const client of clients)
    await runClient(client, registry, folder, keep).catch((error: unknown) =>
      keep({ client: client.name, case: 'set up', milliseconds: 0, error }),
    )
}

async function report(client: string, name: string, work: () => Promise<unknown>, results: CaseResult[]) {
  const start = performance.now()
  const failure = await work().then(
    () => undefined,
    (cause: unknown) => ({ cause }),
  )
  const milliseconds = Math.round(performance.now() - start)
  const result = { client, case: name, milliseconds, ...(failure && { error: failure.cause }) }
  results.push(result)
  printResult(result)
}

/** Passes bytes on from the address that clients use to the server, which listens on 127.0.0.1 only. */
async function startRelay(server: string): Promise<AsyncDisposable & { address: string }> {
  const { hostname, port } = new URL(`http://${server}`)
  const relay = createServer((client) => {
    const onward = connect(Number(port), hostname)
    client.pipe(onward).pipe(client)
    for (const socket of [client, onward])
      socket.on('error', () => {
        client.destroy()
        onward.destroy()
      })
  })
  await new Promise<void>((resolve) => relay.listen(0, ADDRESS, resolve))
  const address = relay.address()
  const taken = typeof address === 'object' && address ? address.port : 0
  return {
    address: `${ADDRESS}:${taken}`,
    async [Symbol.asyncDispose]() {
      relay.close()
    },
  }
}

/** Java's store is written anew each time, with the time in it: of this file only the names count. */
const JAVA_STORE = '/etc/ssl/certs/java/cacerts'

/** Each file in those places, by its path, and the hash of what is in it. */
async function snapshot(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const place of PLACES) {
    const entries = await readdir(place, { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name)
      if (entry.isDirectory()) found[path] = 'folder'
      else if (path === JAVA_STORE) found[path] = String((await readFile(path)).includes('cay-'))
      else found[path] = Bun.hash(await readFile(path).catch(() => '')).toString(16)
    }
  }
  return found
}
