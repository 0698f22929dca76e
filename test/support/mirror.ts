import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { openMemoryLog } from './memory-log.ts'
import { FakeUpstream } from './upstream.ts'

export const ADMIN_PASSWORD = 'the password of the admin'

interface MirrorWorld extends AsyncDisposable {
  fake: FakeUpstream
  /** The URL of the main listener. */
  main: string
  /** The URL of the mirror of the upstream `up.example`. */
  mirror: string
}

/** A server with accounts, and its mirror listener. */
export async function startMirror(access: string): Promise<MirrorWorld> {
  await using resources = new AsyncDisposableStack()
  const fake = resources.use(await FakeUpstream.start())
  const { path: data } = resources.use(await temporaryFolder('mirror'))
  await Bun.write(
    `${data}/cay.toml`,
    `mirror = ["up.example=127.0.0.1:0"]\n[[upstream]]\nname = "up.example"\nurl = "${fake.url}"\n`,
  )
  const flags = { listen: '127.0.0.1:0', data, access }
  const { config } = await loadConfig({ flags, file: undefined, environment: {} })
  const app = await openApp(config, openMemoryLog().log, { adminPassword: ADMIN_PASSWORD })
  resources.defer(() => app.close())
  const moved = resources.move()
  const [main, mirror] = [app.addresses[0], app.mirrors[0]?.address].map(
    (address) => `http://${address}`,
  ) as [string, string]
  return { fake, main, mirror, [Symbol.asyncDispose]: () => moved.disposeAsync() }
}
