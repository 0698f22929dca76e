import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type StartTestServer, startInProcess, type TestServer, type TestServerOptions } from './server.ts'
import { FakeUpstream } from './upstream.ts'

/** The name of the upstream. */
const UP = 'up.example'

export interface CacheOptions extends TestServerOptions {
  /** Further lines of the table [[upstream]]. */
  upstream?: string
  /** Lines of the table [cache]. */
  cache?: string
  /** Another server than the one in this process. */
  start?: StartTestServer
}

/** A cache in front of an upstream that plays what it is told. */
export interface TestCache extends AsyncDisposable {
  fake: FakeUpstream
  server: TestServer
  /** A request to /v2 of the upstream's repository `library/app`: `manifests/1`. */
  get(suffix: string, init?: RequestInit): Promise<Response>
  /** Ends the server and starts another one on the same data. */
  restart(options?: CacheOptions): Promise<void>
}

export async function startCache(options: CacheOptions = {}): Promise<TestCache> {
  const resources = new AsyncDisposableStack()
  const fake = resources.use(await FakeUpstream.start())
  const data = options.data ?? resources.use(await temporaryFolder('cache')).path
  const open = async ({ upstream = '', cache = '', start = startInProcess, ...more }: CacheOptions) => {
    const toml = `[[upstream]]\nname = "${UP}"\nurl = "${fake.url}"\n${upstream}\n\n[cache]\n${cache}\n`
    await Bun.write(join(data, 'cay.toml'), toml)
    return await start({ ...more, data })
  }
  let server = await open(options)
  resources.defer(() => server.stop())
  return {
    fake,
    get server() {
      return server
    },
    get: (suffix, init) => server.fetch(`/v2/${UP}/library/app/${suffix}`, init),
    async restart(changed = {}) {
      await server.stop()
      server = await open({ ...options, ...changed })
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}
