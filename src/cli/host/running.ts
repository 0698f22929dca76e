import { Value } from '@sinclair/typebox/value'
import type { LoadedConfig } from '../../config/config.ts'
import type { Config } from '../../config/config-schema.ts'
import { SETTINGS } from '../../config/settings.ts'
import { type UpstreamConfig, UpstreamSchema } from '../../config/upstream-schema.ts'
import { adminClient } from '../remote/admin-client.ts'
import { socketTransport } from '../remote/connect.ts'
import { load } from '../settings.ts'

/** A server that runs on a data folder, as it describes itself. */
export interface Running {
  /** HOST:PORT, with the actual ports. */
  addresses: string[]
  mirrors: { upstream: string; address: string }[]
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

/** Loads what `loadRunning` does, with the upstreams that were created while the server was running. */
export async function loadWithUpstreams(options: Record<string, string>): Promise<LoadedConfig> {
  const loaded = await loadRunning(options)
  const { config } = loaded
  const transport = options.upstream === undefined ? await socketTransport(config.data) : undefined
  if (transport === undefined) return loaded
  const { items } = await adminClient(transport).request<{ items: { name: string }[] }>('GET', '/upstreams')
  return { ...loaded, config: { ...config, upstream: items.map(({ name }) => upstreamOf(config, name)) } }
}

/** Settings that commands on this host use, besides the addresses. */
const USED = ['host', 'tls', 'externalUrl', 'access'] as const

function runningConfig(own: Config, running: Running, options: Record<string, string>): Config {
  const values = new Map(running.settings.map(({ name, value }) => [name, value]))
  const settingOf = (key: string) => values.get(SETTINGS.find(({ keys }) => keys.join() === key)?.path ?? '')
  const names = settingOf('upstream') as string[]
  const changes: Partial<Config> = {
    listen: running.addresses,
    mirror: running.mirrors.map(({ upstream, address }) => `${upstream}=${address}`),
    ...Object.fromEntries(USED.map((key) => [key, settingOf(key)])),
    upstream: names.map((name) => upstreamOf(own, name)),
  }
  const isGiven = (key: string) => options[key] !== undefined
  return { ...own, ...Object.fromEntries(Object.entries(changes).filter(([key]) => !isGiven(key))) }
}

/** The configured upstream of a name, or one with defaults. */
function upstreamOf({ upstream }: Config, name: string): UpstreamConfig {
  const configured = upstream.find((one) => one.name === name)
  return configured ?? (Value.Default(UpstreamSchema, { name }) as UpstreamConfig)
}
