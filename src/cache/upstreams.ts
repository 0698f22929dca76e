import { X509Certificate } from 'node:crypto'
import { Value } from '@sinclair/typebox/value'
import type { Logger } from 'pino'
import type { Write } from '../access/access.ts'
import { parseRepositoryPattern } from '../access/patterns.ts'
import type { SettingSources } from '../config/config.ts'
import { type Config, type ManagedUpstream, UpstreamSchema } from '../config/schema.ts'
import { maskCredentials, type UpstreamSettings, upstreamSettings } from '../config/upstreams.ts'
import type { Metadata } from '../database/metadata.ts'
import { registryError } from '../oci/error.ts'
import type { ProxyCache } from './cache.ts'
import { localNamesTaken, type UpstreamRow } from './store.ts'
import { isForbidden } from './upstream/connections.ts'
import type { Upstream, UpstreamSet } from './upstream/upstream.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    upstreamStates: ReturnType<typeof upstreamService>
  }
}

export interface UpstreamOptions {
  metadata: Metadata
  cache: ProxyCache
  config: Config
  settingSources: SettingSources
  /** Milliseconds since 1970. */
  now: () => number
}

/** Lists, shows and checks upstreams, and changes those that are not configured elsewhere. */
export function upstreamService({ metadata, cache, config, settingSources, now }: UpstreamOptions) {
  const { upstream: upstreamSource = 'the configuration' } = settingSources
  const { upstreams } = cache
  const isOffline = config.cache.offline
  const configured = new Set(config.upstream.map(({ name }) => name))
  const refuseConfigured = (name: string) => {
    if (!configured.has(name)) return
    throw registryError('CONFLICT', `upstream ${name} is configured in ${upstreamSource}: change it there`)
  }
  /** The latest check of each. Changing an upstream replaces its object, so a check of its former settings is forgotten. */
  const checks = new WeakMap<Upstream, UpstreamCheck & { at: string }>()
  const toState = (upstream: Upstream) =>
    stateOf(upstream, configured.has(upstream.name) ? upstreamSource : undefined, checks.get(upstream))
  /** Applies the upstream's current settings in the database. Of two concurrent changes, the last one wins. */
  const apply = async (name: string) => {
    const row = await metadata.upstreams.find(name)
    if (row === undefined) cache.removeUpstream(name)
    else cache.putUpstream(managedSettings(row, isOffline))
  }
  return {
    list: () => upstreams.list().map(toState),

    /** Throws NOT_FOUND. Settings and version are of one that is managed with the API. */
    async get(name: string) {
      const state = toState(getUpstream(upstreams, name))
      const row = configured.has(name) ? undefined : await metadata.upstreams.find(name)
      const settings = row && (JSON.parse(row.settings) as ManagedUpstream)
      return { ...state, settings, version: row?.version }
    },

    /** Checks that an upstream is reachable and accepts our credentials. */
    async check(name: string): Promise<UpstreamCheck> {
      const upstream = getUpstream(upstreams, name)
      const { message, ...reached } = await upstream.reach()
      const check = { ...reached, message: maskCredentials(message) }
      checks.set(upstream, { at: new Date(now()).toISOString(), ...check })
      return check
    },

    /**
     * Adds or replaces an upstream. Returns whether it is new.
     *
     * @throws RegistryError CONFLICT, REQUEST_INVALID, NAME_INVALID or PRECONDITION_FAILED
     */
    async put(act: Write, name: string, asked: Partial<ManagedUpstream>, secrets: UpstreamSecrets) {
      refuseConfigured(name)
      const before = await metadata.upstreams.find(name)
      const secret = secretOf(name, asked, secrets, before)
      const settings = JSON.stringify(asked)
      checkSettings(managedSettings({ name, settings, secret }, isOffline))
      const { url, username } = asked
      const isNew = secrets.password !== undefined || secrets.token !== undefined
      const detail = { url, username, secret: isNew ? 'set' : undefined }
      await metadata.write('putUpstream', { ...act, name, settings, secret, seen: before?.version, detail })
      await apply(name)
      return before === undefined
    },

    /** Removes an upstream; its repositories stay. Throws CONFLICT, NOT_FOUND or PRECONDITION_FAILED. */
    async remove(act: Write, name: string): Promise<void> {
      refuseConfigured(name)
      await metadata.write('removeUpstream', { ...act, name })
      await apply(name)
    },
  }
}

function getUpstream(upstreams: UpstreamSet, name: string): Upstream {
  const upstream = upstreams.find(name)
  if (upstream !== undefined) return upstream
  throw registryError('NOT_FOUND', `there is no upstream ${name}`)
}

/** Whether an upstream can be reached. */
type UpstreamCheck = Awaited<ReturnType<Upstream['reach']>>

/**
 * Returns the state of an upstream. It says only whether there are credentials, not what they are.
 *
 * @param configuredIn undefined for one that is managed with the API
 * @param lastCheck undefined before the first check since the server started or its settings changed
 */
function stateOf(
  { name, settings, isUp, pullsLeft }: Upstream,
  configuredIn: string | undefined,
  lastCheck: (UpstreamCheck & { at: string }) | undefined,
) {
  const [url, ...mirrors] = settings.urls
  const { username, token } = settings.credentials
  return {
    name,
    url: url.href,
    mirrors: mirrors.map(String),
    state: settings.offline ? ('offline' as const) : isUp ? ('up' as const) : ('down' as const),
    credentialsSet: username !== undefined || token !== undefined,
    pullsRemaining: pullsLeft?.remaining,
    pullLimit: pullsLeft?.limit,
    configuredIn,
    lastCheck,
  }
}

/** The secrets of an upstream. */
interface UpstreamSecrets {
  password?: string | undefined
  token?: string | undefined
}

/** The settings that a stored secret is bound to. Changing where it is sent requires giving the secret again. */
const SENT_BY = ['url', 'username', 'proxy', 'ca'] as const

/**
 * Opens the upstreams that were added with the API, except those that are also configured. One that cannot be opened
 * does not keep the server from starting, because repairing it needs the API.
 */
export async function openStored(
  cache: ProxyCache,
  { metadata, config, log }: { metadata: Metadata; config: Config; log: Logger },
): Promise<void> {
  const configured = new Set(config.upstream.map(({ name }) => name))
  for (const row of await metadata.upstreams.list()) {
    const { name } = row
    if (configured.has(name)) continue
    try {
      const repositories = metadata.cache.localUnder(name)
      if (repositories.length > 0) throw new Error(localNamesTaken(name, repositories))
      cache.putUpstream(managedSettings(row, config.cache.offline))
    } catch (cause) {
      log.error({ upstream: name, cause }, 'cannot use an upstream; change or remove it: cay upstream')
    }
  }
}

/**
 * Returns the settings of an upstream that is managed with the API.
 * @throws RegistryError REQUEST_INVALID
 */
function managedSettings(
  { name, settings, secret }: Pick<UpstreamRow, 'name' | 'settings' | 'secret'>,
  isOffline: boolean,
): UpstreamSettings {
  const stored = Value.Default(UpstreamSchema, { ...JSON.parse(settings), name })
  const [error] = Value.Errors(UpstreamSchema, stored)
  if (error !== undefined) {
    const setting = error.path.slice(1).replaceAll('/', '.')
    throw registryError('REQUEST_INVALID', `upstream ${name}: ${setting}: ${error.message}`)
  }
  const config = stored as Parameters<typeof upstreamSettings>[0]
  const { username } = config
  const credentials =
    secret === null ? {} : username === undefined ? { token: secret } : { username, password: secret }
  try {
    return { ...upstreamSettings(config, isOffline), credentials }
  } catch (cause) {
    throw registryError('REQUEST_INVALID', (cause as Error).message)
  }
}

/** Throws REQUEST_INVALID or NAME_INVALID for settings that the client of upstreams would fail with. */
function checkSettings({ name, urls, ca, proxy, repositories }: UpstreamSettings): void {
  const refuse = (why: string) => registryError('REQUEST_INVALID', `upstream ${name}: ${why}`)
  for (const pattern of repositories) parseRepositoryPattern(pattern)
  const refused = [...urls, URL.parse(proxy ?? '')].find((url) => url !== null && isForbidden(url))
  if (refused)
    throw refuse(`${refused.host} is a link-local or reserved address: use the address of a registry`)
  if (proxy !== undefined && proxy !== 'none' && !isPlainUrl(proxy))
    throw refuse('proxy: expected none or a URL without credentials, such as http://proxy.lan:3128')
  try {
    if (ca !== undefined) new X509Certificate(ca)
  } catch {
    throw refuse('ca: expected PEM certificates')
  }
}

function isPlainUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
}

/** Returns the secret to store: the given one, or the present one if it is sent to the same place as before. */
function secretOf(
  name: string,
  asked: Partial<ManagedUpstream>,
  { password, token }: UpstreamSecrets,
  before: UpstreamRow | undefined,
): string | null {
  const refuse = (what: string) => registryError('REQUEST_INVALID', `upstream ${name}: ${what}`)
  const { username } = asked
  if (token !== undefined) {
    if (username === undefined && password === undefined) return token
    throw refuse('give either a token, or a username with a password')
  }
  if (password !== undefined) {
    if (username !== undefined) return password
    throw refuse('give a username together with the password')
  }
  const settings = before && (JSON.parse(before.settings) as Partial<ManagedUpstream>)
  const isSame = settings !== undefined && SENT_BY.every((key) => settings[key] === asked[key])
  if (isSame) return before?.secret ?? null
  if (username !== undefined)
    throw refuse('give the password of the username: it is kept only for the same url, proxy and ca')
  if (before?.secret == null || settings?.username !== undefined) return null
  throw refuse('give the token again: it is kept only for the same url, proxy and ca')
}
