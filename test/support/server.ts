import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { documentOf, expectDescribed } from './described.ts'
import { openMemoryLog } from './memory-log.ts'

/** A registry to be tried. `await using` stops it, and removes the data folder that was made for it. */
export interface TestServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  url: string
  data: string
  /** A request to a path, or to a Location. The OpenAPI document must describe what the admin API answers. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** The lines of the log so far. */
  log(): Record<string, unknown>[]
  stop(): Promise<void>
}

export interface TestServerOptions {
  /** A data folder that is kept; without it a temporary one. */
  data?: string
  /** Settings by their path, as text. Everybody may do everything unless `access` is among them. */
  settings?: Record<string, string>
  /** The first account's password. */
  adminPassword?: string
  /** The clock of a server in this process, and how time goes on there: with the clock, unless `monotonic` says otherwise. */
  now?: () => number
  monotonic?: () => number
}

export type StartTestServer = (options?: TestServerOptions) => Promise<TestServer>

/** The app inside this process, with its defaults, on a free port of loopback. */
export async function startInProcess(options: TestServerOptions = {}): Promise<TestServer> {
  await using resources = new AsyncDisposableStack()
  const data = options.data ?? resources.use(await temporaryFolder('test')).path
  const { log, lines } = openMemoryLog()
  const flags = { listen: '127.0.0.1:0', data, access: 'open', ...options.settings }
  const { config } = await loadConfig({ flags, file: undefined, environment: {} })
  const { adminPassword, now, monotonic } = options
  const app = await openApp(config, log, {
    adminPassword,
    ...(now && { wall: now, monotonic: monotonic ?? now }),
  })
  resources.defer(() => app.close())
  return testServer(app.addresses[0] ?? '', data, () => lines, resources.move())
}

/** The compiled executable, with its own process. */
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

/** Both, by name: what a user meets is tried in each of them. */
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
