import { CommandError, EXIT } from '../cli/failure.ts'
import type { Config } from '../config/schema.ts'
import { parseMirrors } from '../config/upstreams.ts'
import { parseListenAddress } from '../config/values.ts'

export interface ClientSetupOptions {
  /** `host:port` as clients write it, instead of the first configured address. */
  registry?: string
}

/** What a client needs to know. */
interface Place {
  /** `host:port` */
  registry: string
  scheme: 'http' | 'https'
  upstreams: string[]
  /** The mirror listeners: the upstream, and `host:port`. */
  mirrors: { upstream: string; address: string }[]
  hasAccounts: boolean
}

/** The clients, with the functions that write their settings. */
const CLIENTS: Readonly<Record<string, (place: Place) => string>> = {
  docker,
  containerd,
  podman,
  k3s,
  buildkit,
}

const CLIENT_NAMES = Object.keys(CLIENTS)

/** Prints the settings with which a client pulls through the cache. */
export function clientSetup(client: string, config: Config, options: ClientSetupOptions): void {
  const write = CLIENTS[client]
  if (write === undefined) {
    throw new CommandError(`unknown client "${client}": expected ${CLIENT_NAMES.join(', ')}`, EXIT.usage)
  }
  const place = placeOf(config, options)
  if (place.upstreams.length === 0) {
    throw new CommandError(
      'there is no upstream: use cay serve --upstream docker.io, or cay upstream create docker.io',
      EXIT.usage,
    )
  }
  process.stdout.write(`${write(place)}\n`)
}

function placeOf(config: Config, { registry }: ClientSetupOptions): Place {
  const { externalUrl, listen, tls } = config
  const external = externalUrl === undefined ? undefined : new URL(externalUrl)
  const isTls = external === undefined ? (tls ?? 'off') !== 'off' : external.protocol === 'https:'
  const address = registry ?? external?.host ?? reachable(listen[0] ?? '')
  const host = address.replace(/:\d+$/, '')
  return {
    registry: address,
    scheme: isTls ? 'https' : 'http',
    upstreams: config.upstream.map(({ name }) => name),
    mirrors: parseMirrors(config).map(({ upstream, listen: own }) => {
      return { upstream, address: `${host}:${parseListenAddress(own).port}` }
    }),
    hasAccounts: config.access === 'accounts',
  }
}

/** Returns the address for clients; HOST if cay listens on every interface, because only the reader knows its name. */
function reachable(listen: string): string {
  const { host, port } = parseListenAddress(listen)
  const isEvery = host === '' || host === '0.0.0.0' || host === '::'
  return `${isEvery ? 'HOST' : host.includes(':') ? `[${host}]` : host}:${port}`
}

function docker({ mirrors, scheme, hasAccounts }: Place): string {
  const hub = mirrors.find(({ upstream }) => upstream === 'docker.io')
  if (hub === undefined) {
    return '# Docker supports mirrors of Docker Hub only: start cay with --mirror docker.io=127.0.0.1:5001'
  }
  const grant = hasAccounts ? `\n\n# ${grantLine('anonymous', 'docker.io')}` : ''
  const settings = JSON.stringify({ 'registry-mirrors': [`${scheme}://${hub.address}`] }, undefined, 2)
  return `# /etc/docker/daemon.json, then: sudo systemctl restart docker\n${settings}${grant}`
}

function containerd(place: Place): string {
  const { registry, scheme, upstreams } = place
  const hosts = upstreams.map(
    (name) => `# /etc/containerd/certs.d/${name}/hosts.toml
server = "https://${serverOf(name)}"

[host."${scheme}://${registry}"]
  capabilities = ["pull", "resolve"]`,
  )
  return [...hosts, ...grants(place)].join('\n\n')
}

function podman(place: Place): string {
  const { registry, scheme, upstreams } = place
  const insecure = scheme === 'http' ? '\ninsecure = true' : ''
  const registries = upstreams.map(
    (name) => `[[registry]]
prefix = "${name}"
location = "${name}"

[[registry.mirror]]
location = "${registry}/${name}"${insecure}`,
  )
  return ['# /etc/containers/registries.conf.d/cay.conf', ...registries, ...grants(place)].join('\n\n')
}

function k3s(place: Place): string {
  const { registry, scheme, upstreams } = place
  const mirrors = upstreams.map((name) => `  ${name}:\n    endpoint:\n      - "${scheme}://${registry}"`)
  const head = '# /etc/rancher/k3s/registries.yaml, then: sudo systemctl restart k3s\nmirrors:'
  return [[head, ...mirrors].join('\n'), ...grants(place)].join('\n\n')
}

function buildkit(place: Place): string {
  const { registry, scheme, upstreams } = place
  const mirrors = upstreams.map((name) => `[registry."${name}"]\n  mirrors = ["${registry}"]`)
  const own = scheme === 'http' ? [`[registry."${registry}"]\n  http = true`] : []
  return ['# buildkitd.toml', ...mirrors, ...own, ...grants(place)].join('\n\n')
}

function grants({ upstreams, hasAccounts }: Place): string[] {
  if (!hasAccounts) return []
  const lines = upstreams.map((name) => `# ${grantLine('anonymous', name)}`)
  return [['# To let these clients pull without signing in, run:', ...lines].join('\n')]
}

function grantLine(subject: string, upstream: string): string {
  return `cay grant create ${subject} '${upstream}/**' reader`
}

function serverOf(upstream: string): string {
  return upstream === 'docker.io' ? 'registry-1.docker.io' : upstream
}
