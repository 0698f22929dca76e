import { t } from 'elysia'
import { formatSetting, type SettingSources } from '../../../config/config.ts'
import type { Config } from '../../../config/config-schema.ts'
import { SETTINGS } from '../../../config/settings.ts'
import { commit, version } from '../../../config/version.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { integer, Time, time, timeOf } from '../schemas.ts'

const Value = t.Union([t.String(), integer(), t.Boolean(), t.Array(t.String())])

const Setting = t.Object({
  name: t.String({ example: 'uploads.pool-bytes' }),
  value: t.Optional(Value),
  description: t.String(),
  configuredIn: t.Optional(
    t.String({
      description: 'The file, variable or flag that sets it; absent if it has its default',
      example: 'CAY_UPLOADS_POOL_BYTES',
    }),
  ),
})

const Mirror = t.Object({
  upstream: t.String({ example: 'docker.io' }),
  address: t.String({ description: 'HOST:PORT', example: '127.0.0.1:5001' }),
})

/** Optional features, by the settings that enable them. */
const FEATURES: Record<string, (config: Config) => boolean> = {
  accounts: ({ access }) => access === 'accounts',
  tls: ({ tls }) => tls !== undefined && tls !== 'off',
  'docker-v1': ({ docker }) => docker.v1,
  'docker-schema1-push': ({ docker }) => docker.schema1.push,
  'docker-schema1-pull': ({ docker }) => docker.schema1.pull !== 'never',
}

const Server = t.Object(
  {
    version: t.String(),
    commit: t.String({ description: 'The commit it was built from; `source` when run from source' }),
    startedAt: Time,
    time: time("The server's clock"),
    addresses: t.Array(t.String({ example: '127.0.0.1:5000' }), {
      description: 'The addresses that it listens on, HOST:PORT',
    }),
    mirrors: t.Array(Mirror, { description: 'The upstreams that it mirrors at an address of their own' }),
    ready: t.Boolean({ description: 'Whether it can serve, as /readyz says' }),
    problem: t.Optional(
      t.String({ description: 'Why it is not ready', example: 'the disk of the data folder is almost full' }),
    ),
    features: t.Array(t.String({ example: 'docker-v1' }), {
      description: 'Optional features that are enabled',
    }),
    settings: t.Array(Setting, { description: 'The effective settings; secrets are not included' }),
  },
  { description: 'The server' },
)

const OPERATIONS = {
  get: operation('getServer', 'admin', 'Show the version, health and settings of the server', {
    answer: Server,
  }),
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
    OPERATIONS.get,
  )
}

type Value = string | number | boolean | string[]

function settingsOf(config: Config, sources: SettingSources) {
  return SETTINGS.map((setting) =>
    omitAbsent({
      name: setting.path,
      value: formatSetting(setting, config) as Value | undefined,
      description: setting.schema.description ?? '',
      configuredIn: sources[setting.path],
    }),
  )
}
