import { join } from 'node:path'
import { build } from './build.ts'
import { startRecordingRelay } from './clients/cached/recording-relay.ts'
import { type Client, runClient } from './clients/client.ts'
import { distrusting, PASSWORD, trusting, USER } from './clients/over-tls.ts'
import { CaseReport } from './lib/cases.ts'
import { runCommand } from './lib/command.ts'
import { whileTrusting } from './lib/host-trust.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'
import { bringTools } from './toolchain/toolchain.ts'

/**
 * Docker and others do not verify registries on 127.0.0.1 and ::1. So clients use this address, which is never routed
 * (RFC 2544), and which the loopback interface has during the run.
 */
const ADDRESS = '198.18.0.1'

/**
 * `tls-clients`: on a Debian host, as root, real clients sign in to the executable, push and pull over HTTPS, without
 * insecure flags. Before `cay trust --install` all must fail; after it all must succeed where their account has access;
 * and `--uninstall` must leave the host as it was.
 */
export async function run(): Promise<void> {
  const executable = process.env.CAY_EXECUTABLE ?? (await build())
  const { ip = '' } = await bringTools(['ip'])
  await using folder = await temporaryFolder('tls-clients')
  const data = join(folder.path, 'data')
  await using server = await startServer({
    data,
    access: 'accounts',
    args: ['--tls', 'auto', '--host', ADDRESS],
    env: { CAY_ADMIN_PASSWORD: crypto.randomUUID() },
  })
  for (const [name, password] of [
    [USER, PASSWORD],
    ['bob', crypto.randomUUID()],
  ] as const)
    await runCommand([executable, 'user', 'add', '--data', data, name], { input: password })
  await runCommand([ip, 'address', 'add', `${ADDRESS}/32`, 'dev', 'lo'])
  const report = new CaseReport()
  try {
    // The server listens on 127.0.0.1 only.
    await using relay = await startRecordingRelay(server.address, ADDRESS)
    await runClients(distrusting, relay.address, join(folder.path, 'before'), report)
    const step = (name: string, work: () => Promise<unknown>) => report.try('cay trust', name, work)
    await whileTrusting({ data, registry: relay.address, step }, () =>
      runClients(trusting, relay.address, join(folder.path, 'after'), report),
    )
  } finally {
    await runCommand([ip, 'address', 'del', `${ADDRESS}/32`, 'dev', 'lo'])
  }
  report.end(server)
}

async function runClients(clients: Client[], registry: string, folder: string, report: CaseReport) {
  for (const client of clients)
    await report.prepare(client.name, () => runClient(client, registry, folder, report))
}
