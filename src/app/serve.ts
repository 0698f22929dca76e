import { openApp } from '../app.ts'
import { isContainer, type LoadedConfig } from '../config/config.ts'
import { version } from '../config/values.ts'
import { openLog } from '../runtime/log.ts'
import { openServiceManager } from '../service/service.ts'

/** Serves until SIGTERM or SIGINT. A second signal stops without waiting for requests in flight. */
export async function serve({ config, warnings, settingSources }: LoadedConfig): Promise<number> {
  const log = await openLog(config.log)
  for (const warning of warnings) log.warn(warning)
  const manager = await openServiceManager(process.env)
  const app = await openApp(config, log, { ...firstPassword(process.env), settingSources })
  const { authority } = app
  const tls = authority && { authority: authority.path, sha256: authority.fingerprint }
  // Handle signals before the log says that the server listens: the next one may come at once.
  const ended = signal()
  for (const address of app.addresses) {
    log.info({ address, ...tls, data: config.data, version }, 'listening')
  }
  for (const mirror of app.mirrors) log.info(mirror, 'listening as a mirror')
  manager.ready(`Serving on ${app.addresses.join(', ')}`)
  const ending = await Promise.race([ended, app.failed])
  if (ending instanceof Error) {
    log.fatal({ cause: ending }, 'stopping after a fatal error')
    return 1
  }
  manager.stopping()
  log.info({ signal: ending, secondsMax: config.shutdown.secondsMax }, 'stopping')
  await Promise.race([app.close(), signal()])
  log.info('stopped')
  return 0
}

/** Returns how the first account gets its password. The terminal of a container is its log. */
function firstPassword(environment: NodeJS.ProcessEnv) {
  const { CAY_ADMIN_PASSWORD: adminPassword, CAY_ADMIN_PASSWORD_FILE: adminPasswordFile } = environment
  const hasTerminal = process.stdout.isTTY && !isContainer(environment)
  return { adminPassword, adminPasswordFile, hasTerminal }
}

function signal(): Promise<string> {
  return new Promise((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
  })
}
