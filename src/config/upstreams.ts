import { readFileSync } from 'node:fs'
import type { Config, UpstreamConfig } from './schema.ts'
import { ConfigError } from './values.ts'

type Unchanged =
  | 'name'
  | 'redirects'
  | 'repositories'
  | 'connections'
  | 'bytesPerSecond'
  | 'gone'
  | 'refused'
  | 'offline'

/** An upstream's settings, with its secrets read from their files. */
export interface UpstreamSettings extends Readonly<Pick<UpstreamConfig, Unchanged>> {
  /** The URL of its registry, and then those of its mirrors, in the order in which they are tried. */
  urls: readonly [URL, ...URL[]]
  /** More names that containerd can send as `ns`. */
  hosts: readonly string[]
  /** The namespace of names without one, such as `library` of Docker Hub. */
  namespace: string | undefined
  proxy: string | undefined
  ca: string | undefined
  credentials: UpstreamCredentials
  /** Its blobs are never served in repositories of other upstreams. */
  isPrivate: boolean
  freshSeconds: number | undefined
}

/** The credentials for an upstream. */
export interface UpstreamCredentials {
  username?: string | undefined
  password?: string | undefined
  /** A Bearer token, which is sent unchanged. */
  token?: string | undefined
}

/** A listener that is a registry mirror of one upstream for Docker (`registry-mirrors`). */
export interface MirrorListen {
  upstream: string
  /** HOST:PORT */
  listen: string
}

/** Settings of well-known registries, by name. */
const PRESETS: Readonly<Record<string, { url: string; hosts: string[]; namespace: string }>> = {
  'docker.io': {
    url: 'https://registry-1.docker.io',
    hosts: ['index.docker.io', 'registry-1.docker.io'],
    namespace: 'library',
  },
}

/** The keys of Docker Hub in a Docker config.json. */
const HUB_ENTRIES = ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io']

/** Reads the upstreams and the files that they name. Throws a ConfigError with the upstream and the setting. */
export function readUpstreams(config: Pick<Config, 'upstream' | 'cache'>): UpstreamSettings[] {
  const names = config.upstream.map(({ name }) => name)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw new ConfigError(`the upstream ${twice} is configured twice: remove one`)
  return config.upstream.map((upstream) => {
    const { name, ca } = upstream
    const settings = upstreamSettings(upstream, config.cache.offline)
    return {
      ...settings,
      ca: ca === undefined ? undefined : readText(name, 'ca', ca),
      credentials: readCredentials(upstream, settings.urls[0]),
    }
  })
}

/** Parses the setting `mirror`, a list of UPSTREAM=HOST:PORT. Throws a ConfigError with the invalid entry. */
export function parseMirrors({ mirror, upstream }: Pick<Config, 'mirror' | 'upstream'>): MirrorListen[] {
  return mirror.map((entry) => {
    const [, name = '', listen = ''] = /^([^=]+)=(.+)$/.exec(entry) ?? []
    if (upstream.some((one) => one.name === name)) return { upstream: name, listen }
    throw new ConfigError(
      `mirror is ${JSON.stringify(entry)}: expected UPSTREAM=HOST:PORT, for example docker.io=127.0.0.1:5001, ` +
        'with the name of a configured upstream',
    )
  })
}

/** Returns the settings of an upstream without its credentials; `ca` is the text of the certificates. */
export function upstreamSettings(upstream: UpstreamConfig, isOffline: boolean): UpstreamSettings {
  const { name, url, mirrors, private: isPrivate, proxy, ca, freshSeconds } = upstream
  const preset = PRESETS[name]
  const first = urlOf(name, 'url', url ?? preset?.url ?? `https://${name}`)
  return {
    name,
    urls: [first, ...mirrors.map((mirror) => urlOf(name, 'mirrors', mirror))],
    hosts: [...(preset?.hosts ?? []), ...upstream.hosts],
    namespace: preset?.namespace,
    redirects: upstream.redirects,
    proxy,
    ca,
    credentials: {},
    repositories: upstream.repositories,
    isPrivate,
    connections: upstream.connections,
    bytesPerSecond: upstream.bytesPerSecond,
    freshSeconds,
    gone: upstream.gone,
    refused: upstream.refused,
    offline: isOffline || upstream.offline,
  }
}

/** Masks the credentials of the URLs in a text: all from the first `//` to the last `@`. Takes linear time. */
export function maskCredentials(text: string): string {
  const [start, end] = [text.indexOf('//'), text.lastIndexOf('@')]
  return start < 0 || end < start ? text : `${text.slice(0, start)}//***${text.slice(end)}`
}

function urlOf(name: string, setting: string, text: string): URL {
  const url = URL.parse(text)
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '') return url
  throw new ConfigError(
    `upstream ${name}: ${setting} is ${JSON.stringify(maskCredentials(text))}: expected https://HOST or https://HOST:PORT`,
  )
}

function readCredentials(upstream: UpstreamConfig, url: URL): UpstreamCredentials {
  const { name, username, password, passwordFile, tokenFile, credentials } = upstream
  if (tokenFile !== undefined) return { token: readText(name, 'token-file', tokenFile).trim() }
  if (credentials !== undefined) return dockerEntry(name, credentials, url)
  if (passwordFile !== undefined)
    return { username, password: readText(name, 'password-file', passwordFile).trimEnd() }
  if ((username === undefined) !== (password === undefined)) {
    throw new ConfigError(`upstream ${name}: set username together with password or password-file`)
  }
  return { username, password }
}

/** Returns the registry's entry in a Docker config.json. Credential helpers are not supported: they are programs. */
function dockerEntry(name: string, path: string, { host }: URL): UpstreamCredentials {
  let auths: Record<string, { auth?: string; username?: string; password?: string }>
  try {
    auths = JSON.parse(readText(name, 'credentials', path)).auths ?? {}
  } catch (error) {
    throw new ConfigError(
      `upstream ${name}: credentials: ${path} is not a Docker config.json: ${(error as Error).message}`,
    )
  }
  const hub = name === 'docker.io' ? HUB_ENTRIES : []
  const names = [name, host, `https://${host}`, `https://${name}`, ...hub]
  const found = names.map((one) => auths[one]).find((entry) => entry !== undefined)
  const [username, ...password] = Buffer.from(found?.auth ?? '', 'base64')
    .toString()
    .split(':')
  const entry = found?.auth ? { username, password: password.join(':') } : found
  if (entry?.username && entry.password) return { username: entry.username, password: entry.password }
  throw new ConfigError(`upstream ${name}: credentials: ${path} has no plain entry for ${host}`)
}

function readText(name: string, setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`upstream ${name}: ${setting}: cannot read ${path}: ${(error as Error).message}`)
  }
}
