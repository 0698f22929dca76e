import { Value } from '@sinclair/typebox/value'
import path from '../../LICENSE' with { type: 'file' }
import { adminClient } from '../cli/client.ts'
import { socketTransport } from '../cli/connection.ts'
import { CommandError, EXIT, reasonOf } from '../cli/failure.ts'
import { load } from '../cli/settings.ts'
import { formatSetting, type LoadedConfig } from '../config/config.ts'
import { type Config, type UpstreamConfig, UpstreamSchema } from '../config/schema.ts'
import { SETTINGS } from '../config/settings.ts'
import { isLoopback, parseListenAddress, parseTlsChoice } from '../config/values.ts'
import { findAuthority } from '../tls/tls.ts'

/** A server that runs on a data folder, as it describes itself. */
export interface Running {
  /** HOST:PORT, with the actual ports. */
  addresses: string[]
  mirrors: { upstream: string; address: string }[]
  settings: { name: string; value?: unknown }[]
}

/** Asks the server that runs on the data folder. Returns undefined if none does. */
async function askRunning(data: string): Promise<Running | undefined> {
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

/** Options that choose a data folder or a file, and set nothing else. */
const PLACE = ['config', 'data', 'metadata']

/**
 * Prints every setting with its effective value, in the form of cay.toml: of the server that runs on the data folder, or,
 * without one or with options that set something, those that `cay serve` would have.
 *
 * @param check refuses what `cay serve` refuses
 */
export async function printConfig(
  options: Record<string, string>,
  check: (config: Config) => unknown,
): Promise<void> {
  const { config, warnings } = await load(options)
  check(config)
  for (const warning of warnings) process.stderr.write(`cay: ${warning}\n`)
  const sets = Object.keys(options).some((name) => !PLACE.includes(name))
  const running = sets ? undefined : await askRunning(config.data)
  const values = new Map(running?.settings.map(({ name, value }) => [name, value]))
  if (running !== undefined)
    process.stdout.write(`# The settings of the server that listens on ${running.addresses.join(', ')}\n`)
  let section = ''
  // In TOML, settings outside of a section must come before the first section.
  const settings = SETTINGS.toSorted((a, b) => Number(a.path.includes('.')) - Number(b.path.includes('.')))
  for (const setting of settings) {
    const { path } = setting
    const value = running === undefined ? formatSetting(setting, config) : values.get(path)
    if (value === undefined) continue
    const dot = path.lastIndexOf('.')
    const own = path.slice(0, Math.max(0, dot))
    if (own !== section) process.stdout.write(`\n[${own}]\n`)
    section = own
    process.stdout.write(`${path.slice(dot + 1)} = ${JSON.stringify(value)}\n`)
  }
}

const SECONDS_MAX = 5

/** Requests /readyz of the server. Prints its answer. Returns 0 if it is ready, and 1 if not. */
export async function askHealth(config: Config, url: string | undefined): Promise<number> {
  const base = url ?? configuredUrl(config)
  try {
    const response = await fetch(new URL('/readyz', base), {
      signal: AbortSignal.timeout(SECONDS_MAX * 1000),
      tls: await tlsFor(new URL(base), config),
    })
    const { status } = (await response.json()) as { status: string }
    process.stdout.write(`${status}\n`)
    return response.ok ? 0 : 1
  } catch (error) {
    const reason = reasonOf(error as Error)
    throw new CommandError(
      `${base} does not answer (${reason}): is cay serve running there?`,
      EXIT.unreachable,
      { cause: error },
    )
  }
}

function configuredUrl({ listen, tls }: Config): string {
  const scheme = parseTlsChoice(tls).kind === 'off' ? 'http' : 'https'
  const { host, port } = parseListenAddress(listen[0] ?? '')
  const asked = { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `${scheme}://${asked.includes(':') ? `[${asked}]` : asked}:${port}`
}

/**
 * Returns how to verify the server's certificate: by the authority in the data folder, if there is one. A certificate
 * from files is for the name that clients use, so it is not verified on loopback; the request contains no secret.
 */
async function tlsFor(url: URL, { data, tls }: Config): Promise<BunFetchRequestInitTLS> {
  if (url.protocol !== 'https:') return {}
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (parseTlsChoice(tls).kind === 'files') return { rejectUnauthorized: !isLoopback({ host, port: 0 }) }
  const authority = await findAuthority(data)
  return authority === undefined ? {} : { ca: authority.certificate }
}

/** Prints the licences of everything in the executable; from source, only that of cay. */
export async function printLicenses(): Promise<void> {
  const bytes = await Bun.file(path).bytes()
  const isCompressed = bytes[0] === 0x1f
  await Bun.write(Bun.stdout, isCompressed ? Bun.gunzipSync(bytes) : bytes)
}
