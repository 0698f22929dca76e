import type { SettingSources } from '../../../config/config.ts'
import type { Config } from '../../../config/config-schema.ts'
import type { ManagedUpstream } from '../../../config/upstream-schema.ts'
import { maskCredentials } from '../../../config/upstreams.ts'
import type { Write } from '../../../domain/access/caller.ts'
import type { Metadata } from '../../../metadata/metadata.ts'
import { registryError } from '../../../oci/error.ts'
import type { ProxyCache } from '../../../proxy/proxy-cache.ts'
import type { Upstream } from '../../../proxy/upstream/upstream.ts'
import { checkSettings, managedSettings, secretOf, type UpstreamSecrets } from './managed-upstreams.ts'

/** An upstream. Says only whether it has credentials, not what they are. */
export interface UpstreamState {
  name: string
  url: string
  mirrors: string[]
  state: 'up' | 'down' | 'offline'
  credentialsSet: boolean
  /** The remaining pulls that the upstream reports. */
  pullsRemaining: number | undefined
  pullLimit: number | undefined
  /** Where it is configured; undefined for one that is managed with the API. */
  configuredIn: string | undefined
  /** Undefined before the first check since the server started or its settings changed. */
  lastCheck: LastCheck | undefined
}

/** Settings and version are of one that is managed with the API. */
export interface UpstreamDetails extends UpstreamState {
  settings: ManagedUpstream | undefined
  version: number | undefined
}

/** Whether an upstream can be reached. */
export interface UpstreamCheck {
  isReached: boolean
  milliseconds: number
  message: string
}

/** The latest check of an upstream. */
export interface LastCheck extends UpstreamCheck {
  /** When it ended. */
  at: number
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
  const upstreamOf = (name: string) => {
    const upstream = upstreams.find(name)
    if (upstream !== undefined) return upstream
    throw registryError('NOT_FOUND', `there is no upstream ${name}`)
  }
  const checks = upstreamChecks(now)
  const toState = (upstream: Upstream) =>
    stateOf(upstream, configured.has(upstream.name) ? upstreamSource : undefined, checks.last(upstream))
  /** Applies the upstream's current settings in the database. Of two concurrent changes, the last one wins. */
  const apply = async (name: string) => {
    const row = await metadata.upstreams.find(name)
    if (row === undefined) cache.removeUpstream(name)
    else cache.putUpstream(managedSettings(row, isOffline))
  }
  return {
    list: (): UpstreamState[] => upstreams.list().map(toState),

    /** Throws NOT_FOUND. */
    async get(name: string): Promise<UpstreamDetails> {
      const state = toState(upstreamOf(name))
      const row = configured.has(name) ? undefined : await metadata.upstreams.find(name)
      const settings = row && (JSON.parse(row.settings) as ManagedUpstream)
      return { ...state, settings, version: row?.version }
    },

    /** Checks that an upstream is reachable and accepts our credentials. */
    check: (name: string): Promise<UpstreamCheck> => checks.run(upstreamOf(name)),

    /**
     * Adds or replaces an upstream. Returns whether it is new.
     *
     * @throws RegistryError CONFLICT, REQUEST_INVALID, NAME_INVALID or PRECONDITION_FAILED
     */
    async put(
      act: Write,
      name: string,
      asked: Partial<ManagedUpstream>,
      secrets: UpstreamSecrets,
    ): Promise<boolean> {
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

/** Checks upstreams, and keeps the latest result of each in memory. */
function upstreamChecks(now: () => number) {
  /** Changing an upstream replaces its object, so a check of its former settings is forgotten. */
  const latest = new WeakMap<Upstream, LastCheck>()
  return {
    last: (upstream: Upstream): LastCheck | undefined => latest.get(upstream),

    async run(upstream: Upstream): Promise<UpstreamCheck> {
      const reached = await upstream.reach()
      const check = { ...reached, message: maskCredentials(reached.message) }
      latest.set(upstream, { ...check, at: now() })
      return check
    },
  }
}

function stateOf(
  { name, settings, isUp, pullsLeft }: Upstream,
  configuredIn: string | undefined,
  lastCheck: LastCheck | undefined,
): UpstreamState {
  const [url, ...mirrors] = settings.urls
  const { username, token } = settings.credentials
  return {
    name,
    url: url.href,
    mirrors: mirrors.map(String),
    state: settings.offline ? 'offline' : isUp ? 'up' : 'down',
    credentialsSet: username !== undefined || token !== undefined,
    pullsRemaining: pullsLeft?.remaining,
    pullLimit: pullsLeft?.limit,
    configuredIn,
    lastCheck,
  }
}
