import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { documentOf, expectDescribed } from './described.ts'
import { openMemoryLog } from './memory-log.ts'

/** A registry under test. `await using` stops it and removes its temporary data folder. */
export interface TestServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  url: string
  data: string
  /** Sends a request to a path or Location. Responses of the admin API must match the OpenAPI document. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Returns the log lines so far. */
  log(): Record<string, unknown>[]
  stop(): Promise<void>
}

export interface TestServerOptions {
  /** A data folder to keep; by default a temporary one. */
  data?: string
  /** Settings by path, as strings. Access is open unless `access` is set. */
  settings?: Record<string, string>
  /** The password of the initial account. */
  adminPassword?: string
  /** The clock of an in-process server. Elapsed time follows it unless `monotonic` is given. */
  now?: () => number
  monotonic?: () => number
}

export type StartTestServer = (options?: TestServerOptions) => Promise<TestServer>

/** Starts the app in this process, with its defaults, on a free loopback port. */
export async function startInProcess(options: TestServerOptions = {}): Promise<TestServer> {
  await using resources = new AsyncDisposableStack()
  const data = options.data ?? resources.use(await temporaryFolder('test')).path
  const { log, lines } = openMemoryLog()
  const flags = { listen: '127.0.0.1:0', data, access: 'open', ...options.settings }
  const { config, settingSources } = await loadConfig({ flags, file: undefined, environment: {} })
  const { adminPassword, now, monotonic } = options
  const app = await openApp(config, log, {
    adminPassword,
    settingSources,
    ...(now && { wall: now, monotonic: monotonic ?? now }),
  })
  resources.defer(() => app.close())
  return testServer(app.addresses[0] ?? '', data, () => lines, resources.move())
}

/** Starts the compiled executable as its own process. */
export async function startExecutable(options: TestServerOptions = {}): Promise<TestServer> {
  await using resources = new AsyncDisposableStack()
  const data = options.data ?? resources.use(await temporaryFolder('test')).path
  const { access, ...settings } = options.settings ?? {}
  const args = Object.entries(settings).flatMap(([path, value]) => [`--${path.replaceAll('.', '-')}`, value])
  const server = resources.use(
    await startServer({
      data,
      access: access === 'accounts' ? access : 'open',
      args: ['--log-level', 'debug', ...args],
      ...(options.adminPassword && { env: { CAY_ADMIN_PASSWORD: options.adminPassword } }),
    }),
  )
  const log = () =>
    server
      .log()
      .split('\n')
      .map((line) => JSON.parse(line))
  return testServer(server.address, data, log, resources.move())
}

/** Both by name, for tests of what a user would notice. */
export const SERVERS: readonly (readonly [name: string, start: StartTestServer])[] = [
  ['in process', startInProcess],
  ['executable', startExecutable],
]

function testServer(
  address: string,
  data: string,
  log: TestServer['log'],
  resources: AsyncDisposableStack,
): TestServer {
  const stop = () => resources.disposeAsync()
  const url = `http://${address}`
  let document: ReturnType<typeof documentOf> | undefined
  return {
    url,
    data,
    async fetch(path, init) {
      const target = new URL(path, url)
      const response = await fetch(target, { redirect: 'manual', ...init })
      if (target.pathname.startsWith('/api/')) {
        document ??= documentOf(url)
        await expectDescribed(await document, init?.method ?? 'GET', target.pathname, response)
      }
      return response
    },
    log,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
