import { X509Certificate } from 'node:crypto'
import { Value } from '@sinclair/typebox/value'
import type { Logger } from 'pino'
import type { Config } from '../../../config/config-schema.ts'
import { type ManagedUpstream, UpstreamSchema } from '../../../config/upstream-schema.ts'
import { type UpstreamSettings, upstreamSettings } from '../../../config/upstreams.ts'
import { parseRepositoryPattern } from '../../../domain/repository-pattern.ts'
import { localNamesTaken, type UpstreamRow } from '../../../metadata/cache/upstreams.ts'
import type { Metadata } from '../../../metadata/metadata.ts'
import { registryError } from '../../../oci/error.ts'
import type { ProxyCache } from '../../../proxy/proxy-cache.ts'
import { isForbidden } from '../../../proxy/upstream/targets.ts'

/** The secrets of an upstream. */
export interface UpstreamSecrets {
  password?: string | undefined
  token?: string | undefined
}

export interface StoredUpstreams {
  metadata: Metadata
  config: Config
  log: Logger
}

/** The settings that a stored secret is bound to. Changing where it is sent requires giving the secret again. */
const SENT_BY = ['url', 'username', 'proxy', 'ca'] as const

/**
 * Opens the upstreams that were added with the API, except those that are also configured. One that cannot be opened
 * does not keep the server from starting, because repairing it needs the API.
 */
export async function openStored(
  cache: ProxyCache,
  { metadata, config, log }: StoredUpstreams,
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
export function managedSettings(
  { name, settings, secret }: Pick<UpstreamRow, 'name' | 'settings' | 'secret'>,
  isOffline: boolean,
): UpstreamSettings {
  const stored = Value.Default(UpstreamSchema, { ...JSON.parse(settings), name })
  const [error] = Value.Errors(UpstreamSchema, stored)
  if (error !== undefined)
    throw registryError(
      'REQUEST_INVALID',
      `upstream ${name}: ${error.path.slice(1).replaceAll('/', '.')}: ${error.message}`,
    )
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
export function checkSettings({ name, urls, ca, proxy, repositories }: UpstreamSettings): void {
  for (const pattern of repositories) parseRepositoryPattern(pattern)
  const refused = [...urls, URL.parse(proxy ?? '')].find((url) => url !== null && isForbidden(url))
  if (refused) {
    throw registryError(
      'REQUEST_INVALID',
      `upstream ${name}: ${refused.host} is a link-local or reserved address: use the address of a registry`,
    )
  }
  if (proxy !== undefined && proxy !== 'none' && !isPlainUrl(proxy)) {
    throw registryError(
      'REQUEST_INVALID',
      `upstream ${name}: proxy: expected none or a URL without credentials, such as http://proxy.lan:3128`,
    )
  }
  try {
    if (ca !== undefined) new X509Certificate(ca)
  } catch {
    throw registryError('REQUEST_INVALID', `upstream ${name}: ca: expected PEM certificates`)
  }
}

function isPlainUrl(text: string): boolean {
  const url = URL.parse(text)
  return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === ''
}

/** Returns the secret to store: the given one, or the present one if it is sent to the same place as before. */
export function secretOf(
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
