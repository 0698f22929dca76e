import type { Static } from 'elysia'
import { formatSetting, type SettingSources } from '../config/config.ts'
import type { Config } from '../config/schema.ts'
import { SETTINGS } from '../config/settings.ts'
import { commit, version } from '../config/values.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { timeOf } from '../http/schemas.ts'
import { ROUTES, type Value } from './models.ts'

/** Optional features, by the settings that enable them. */
const FEATURES: Record<string, (config: Config) => boolean> = {
  accounts: ({ access }) => access === 'accounts',
  tls: ({ tls }) => tls !== undefined && tls !== 'off',
  'docker-v1': ({ docker }) => docker.v1,
  'docker-schema1-push': ({ docker }) => docker.schema1.push,
  'docker-schema1-pull': ({ docker }) => docker.schema1.pull !== 'never',
}

/** GET /api/v1/server */
export function server(context: AdminContext) {
  const { content, now } = context
  const settings = settingsOf(content.config, content.settingSources)
  const features = Object.keys(FEATURES).filter((name) => FEATURES[name]?.(content.config))
  return controller(context, 'server', '/server').get(
    '',
    () => {
      const problem = content.reserve.problem()
      return {
        version,
        commit,
        startedAt: timeOf(content.startedAt),
        time: timeOf(now()),
        addresses: content.addresses,
        mirrors: content.mirrors,
        ready: problem === undefined,
        ...(problem !== undefined && { problem }),
        features,
        settings,
      }
    },
    ROUTES.server.get,
  )
}

function settingsOf(config: Config, sources: SettingSources) {
  return SETTINGS.map((setting) =>
    omitAbsent({
      name: setting.path,
      value: formatSetting(setting, config) as Static<typeof Value> | undefined,
      description: setting.schema.description ?? '',
      configuredIn: sources[setting.path],
    }),
  )
}
