import { registryError } from '../../oci/error.ts'
import type { Upstream } from '../../proxy/upstream.ts'
import type { UpstreamSet } from '../../proxy/upstream-set.ts'

/** A configured upstream. Says only whether it has credentials, not what they are. */
export interface UpstreamState {
  name: string
  url: string
  mirrors: string[]
  state: 'up' | 'down' | 'offline'
  hasCredentials: boolean
  /** The remaining pulls that the upstream reports. */
  pullsRemaining: number | undefined
  pullsLimit: number | undefined
}

/** Whether an upstream can be reached. */
export interface UpstreamCheck {
  isReached: boolean
  milliseconds: number
  message: string
}

/** Lists and checks the upstreams, for server admins. */
export function upstreamService(upstreams: UpstreamSet) {
  const upstreamOf = (name: string) => {
    const upstream = upstreams.find(name)
    if (upstream !== undefined) return upstream
    throw registryError('NOT_FOUND', `there is no upstream ${name}`)
  }
  return {
    list: (): UpstreamState[] => upstreams.list().map(toState),

    get: (name: string): UpstreamState => toState(upstreamOf(name)),

    /** Checks that an upstream is reachable and accepts our credentials. */
    check: (name: string): Promise<UpstreamCheck> => upstreamOf(name).reach(),
  }
}

function toState({ name, settings, isUp, pullsLeft }: Upstream): UpstreamState {
  const [url, ...mirrors] = settings.urls
  const { username, token } = settings.credentials
  return {
    name,
    url: url.href,
    mirrors: mirrors.map(String),
    state: settings.offline ? 'offline' : isUp ? 'up' : 'down',
    hasCredentials: username !== undefined || token !== undefined,
    pullsRemaining: pullsLeft?.remaining,
    pullsLimit: pullsLeft?.limit,
  }
}
