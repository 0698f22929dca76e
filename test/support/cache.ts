import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type StartTestServer, startInProcess, type TestServer, type TestServerOptions } from './server.ts'
import { FakeUpstream } from './upstream.ts'

/** The upstream's name. */
const UP = 'up.example'

export interface CacheOptions extends TestServerOptions {
  /** Additional lines of the [[upstream]] table. */
  upstream?: string
  /** The upstream's URL; by default, that of the one that plays what it is told. */
  url?: string
  /** Lines of the [cache] table. */
  cache?: string
  /** A server other than the in-process one. */
  start?: StartTestServer
}

/** A cache in front of a scripted upstream. */
export interface TestCache extends AsyncDisposable {
  fake: FakeUpstream
  server: TestServer
  /** Sends a request to the upstream's repository `library/app`, for example `manifests/1`. */
  get(suffix: string, init?: RequestInit): Promise<Response>
  /** Stops the server and starts another one on the same data. */
  restart(options?: CacheOptions): Promise<void>
}

export async function startCache(options: CacheOptions = {}): Promise<TestCache> {
  const resources = new AsyncDisposableStack()
  const fake = resources.use(await FakeUpstream.start())
  const data = options.data ?? resources.use(await temporaryFolder('cache')).path
  const open = async ({
    upstream = '',
    url = fake.url,
    cache = '',
    start = startInProcess,
    ...more
  }: CacheOptions) => {
    const toml = `[[upstream]]\nname = "${UP}"\nurl = "${url}"\n${upstream}\n\n[cache]\n${cache}\n`
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
