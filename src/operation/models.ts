import { t } from 'elysia'
import { operation, type RoutesOf } from '../http/operation.ts'
import { integer, Time, time } from '../http/schemas.ts'

export const Value = t.Union([t.String(), integer(), t.Boolean(), t.Array(t.String())])

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

export type Value = string | number | boolean | string[]

/** The routes below /api/v1. */
export const ROUTES = {
  server: {
    get: operation('getServer', 'admin', 'Show the version, health and settings of the server', {
      answer: Server,
    }),
  },
}

export type OperationRoutes = RoutesOf<typeof ROUTES>
