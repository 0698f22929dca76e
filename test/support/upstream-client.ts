import type { UpstreamError } from '../../src/cache/upstream/answer.ts'
import { AnswerMemory } from '../../src/cache/upstream/answer.ts'
import { sharedRequestPlaces } from '../../src/cache/upstream/connections.ts'
import { Upstream, type UpstreamOptions } from '../../src/cache/upstream/upstream.ts'
import type { UpstreamSettings } from '../../src/config/upstreams.ts'
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts'
import { failureOf } from './failure.ts'
import type { FakeUpstream } from './upstream.ts'

/** A repository of the upstream that `open` returns. */
export const NAME = parseRepositoryName('up.example/library/app')
export const TAG = parseReference('1')
export const within = { bytesMax: 4096, deadlineMs: 20_000 }

function settingsOf(url: string, more: Partial<UpstreamSettings> = {}): UpstreamSettings {
  return {
    name: 'up.example',
    urls: [new URL(url)],
    hosts: [],
    namespace: undefined,
    redirects: [],
    proxy: undefined,
    ca: undefined,
    credentials: {},
    repositories: [],
    isPrivate: false,
    connections: 32,
    bytesPerSecond: 0,
    freshSeconds: undefined,
    gone: 'keep',
    refused: 'serve',
    offline: false,
    ...more,
  }
}

/** The time limits of the clients that `open` returns. */
export const LIMITS = { connectMs: 5000, firstByteMs: 20_000, stallMs: 15_000, manifestMs: 60_000 }

/** Opens a client of a scripted upstream, whose time moves only when `passed` is called. */
export function open(
  fake: Pick<FakeUpstream, 'url'>,
  more: Partial<UpstreamSettings> = {},
  options: Partial<UpstreamOptions> = {},
) {
  let now = 0
  const upstream = new Upstream(settingsOf(fake.url, more), {
    limits: LIMITS,
    memory: new AnswerMemory(),
    requestPlaces: sharedRequestPlaces(),
    monotonic: () => now,
    ...options,
  })
  return { upstream, passed: (ms: number) => (now += ms) }
}

/** Returns why a request failed. */
export const kindOf = async (work: Promise<unknown>) => ((await failureOf(work)) as UpstreamError).kind
