import { Value } from '@sinclair/typebox/value'
import type { LoadedConfig } from '../config/config.ts'
import type { Config } from '../config/config-schema.ts'
import { SETTINGS } from '../config/settings.ts'
import { type UpstreamConfig, UpstreamSchema } from '../config/upstream-schema.ts'
import { adminClient } from './admin-client.ts'
import { socketTransport } from './connect.ts'
import { load } from './settings.ts'

/** A server that runs on a data folder, as it describes itself. */
export interface Running {
  /** HOST:PORT, with the actual ports. */
  addresses: string[]
  /** UPSTREAM=HOST:PORT */
  mirrors: string[]
  settings: { name: string; value?: unknown }[]
}

/** Asks the server that runs on the data folder. Returns undefined if none does. */
export async function askRunning(data: string): Promise<Running | undefined> {
  const transport = await socketTransport(data)
  return transport && (await adminClient(transport).request<Running>('GET', '/server'))
}

/**
 * Loads the configuration of the server that runs on the data folder, with its actual addresses. Options that the
 * command was given win. Without a server, that is the configuration that `cay serve` would have.
 */
export async function loadRunning(options: Record<string, string>): Promise<LoadedConfig> {
  const loaded = await load(options)
  const running = await askRunning(loaded.config.data)
  return running === undefined
    ? loaded
    : { ...loaded, config: runningConfig(loaded.config, running, options) }
}

/** Settings that commands on this host use, besides the addresses. */
const USED = ['host', 'tls', 'externalUrl', 'access'] as const

function runningConfig(own: Config, running: Running, options: Record<string, string>): Config {
  const values = new Map(running.settings.map(({ name, value }) => [name, value]))
  const settingOf = (key: string) => values.get(SETTINGS.find(({ keys }) => keys.join() === key)?.path ?? '')
  const names = settingOf('upstream') as string[]
  const changes: Partial<Config> = {
    listen: running.addresses,
    mirror: running.mirrors,
    ...Object.fromEntries(USED.map((key) => [key, settingOf(key)])),
    upstream: names.map(
      (name) =>
        own.upstream.find((one) => one.name === name) ??
        (Value.Default(UpstreamSchema, { name }) as UpstreamConfig),
    ),
  }
  const isGiven = (key: string) => options[key] !== undefined
  return { ...own, ...Object.fromEntries(Object.entries(changes).filter(([key]) => !isGiven(key))) }
}
