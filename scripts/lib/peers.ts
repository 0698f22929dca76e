import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { type ProcessUsage, processUsage } from './process-usage.ts'
import { stopProcess } from './program.ts'
import { Registry } from './registry.ts'
import { temporaryFolder } from './temporary-folder.ts'

const startSecondsMax = 30

/**
 * A server to compare with: cay, an older cay, Debian's distribution 2.8, distribution 3.1, and nginx, which serves the
 * same bytes as files.
 */
export type PeerName = 'cay' | 'before' | 'docker-registry' | 'distribution' | 'nginx'

/** A running server. `await using` stops it and deletes its temporary folder. */
export interface Peer extends AsyncDisposable {
  name: PeerName
  port: number
  /** `http://host:port` */
  origin: string
  /** A client without an account. */
  registry: Registry
  /** Its folder: the data of a registry, or the files that nginx serves. */
  data: string
  /** Where an upstream logs the method, path and body bytes of each request. */
  accessLog: string
  /** The time from its start to its first response. */
  startMilliseconds: number
  usage(): ProcessUsage
}

export interface PeerOptions {
  /** The data folder of a registry, which is kept; by default a temporary one. */
  data?: string | undefined
  /** The `host:port` of a registry that it caches. In cay its repositories begin with `up.example/`. */
  upstream?: string
  /** cay's setting `access`; by default everybody can do everything. */
  access?: 'accounts' | 'open'
  /** Settings of cay. */
  env?: Record<string, string>
  /** Makes nginx an upstream, which logs requests and sends each blob at this rate; 0 is no limit. */
  bytesPerSecond?: number
}

/**
 * Starts a server on a free port of loopback and waits for its first response.
 * @param executables the path of each server's executable
 * @throws Error with its output, if it exits
 */
export async function startPeer(
  executables: Partial<Record<PeerName, string>>,
  name: PeerName,
  options: PeerOptions = {},
): Promise<Peer> {
  const folder = await temporaryFolder(`peer-${name}`)
  const { data = join(folder.path, 'data') } = options
  const setup = { ...options, port: freePort(), folder: folder.path, data }
  await mkdir(data, { recursive: true })
  const command = [executables[name] ?? '', ...(await argumentsOf[name](setup))]
  const log = join(folder.path, 'log')
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: folder.path,
    OTEL_TRACES_EXPORTER: 'none',
    ...options.env,
  }
  const began = performance.now()
  const child = Bun.spawn(command, { env, stdin: 'ignore', stdout: Bun.file(log), stderr: Bun.file(log) })
  const stop = async () => {
    await stopProcess(child)
    await folder[Symbol.asyncDispose]()
  }
  while (!(await answers(setup.port))) {
    if (child.exitCode === null && performance.now() - began < startSecondsMax * 1000) continue
    const printed = await Bun.file(log).text()
    await stop()
    throw new Error(`${command.join(' ')} did not respond\n${printed}`)
  }
  return {
    name,
    port: setup.port,
    origin: `http://127.0.0.1:${setup.port}`,
    registry: new Registry(`127.0.0.1:${setup.port}`),
    data,
    accessLog: join(folder.path, 'access.log'),
    startMilliseconds: performance.now() - began,
    usage: () => processUsage(child.pid),
    [Symbol.asyncDispose]: stop,
  }
}

interface Setup extends PeerOptions {
  port: number
  folder: string
  data: string
}

const argumentsOf: Record<PeerName, (setup: Setup) => Promise<string[]>> = {
  cay: cayArguments,
  before: cayArguments,
  // The last release line that supports Docker schema 1.
  'docker-registry': (setup) => registryArguments(setup, 'compatibility: { schema1: { enabled: true } }\n'),
  distribution: (setup) => registryArguments(setup, ''),
  nginx: async (setup) => {
    const config = join(setup.folder, 'nginx.conf')
    await writeFile(config, nginxConfig(setup))
    return ['-c', config, '-e', join(setup.folder, 'error.log')]
  },
}

async function cayArguments({ port, data, upstream, access = 'open' }: Setup): Promise<string[]> {
  const settings = `[[upstream]]\nname = "up.example"\nurl = "http://${upstream}"\n`
  if (upstream !== undefined) await writeFile(join(data, 'cay.toml'), settings)
  return ['serve', '--listen', `127.0.0.1:${port}`, '--data', data, '--access', access]
}

async function registryArguments({ folder, port, data, upstream }: Setup, more: string): Promise<string[]> {
  const config = join(folder, 'config.yml')
  const proxy = upstream === undefined ? '' : `proxy: { remoteurl: "http://${upstream}" }\n`
  await writeFile(config, registryConfig(data, port) + more + proxy)
  return ['serve', config]
}

/** The configuration of docker-registry and distribution, for a data folder and a port. */
export function registryConfig(data: string, port: number): string {
  return `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage:
  cache: { blobdescriptor: inmemory }
  delete: { enabled: true }
  filesystem: { rootdirectory: ${data} }
http: { addr: 127.0.0.1:${port} }
`
}

function nginxConfig({ folder, port, data, bytesPerSecond }: Setup): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const manifest = 'default_type application/vnd.oci.image.manifest.v1+json;'
  return `daemon off;
worker_processes 1;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  log_format sent '$request_method $uri $body_bytes_sent';
  access_log ${bytesPerSecond === undefined ? 'off' : `${folder}/access.log sent`};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  ${temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n  ')}
  server {
    listen 127.0.0.1:${port};
    root ${data};
    location = /v2/ { return 200 '{}'; }
    location ~ /manifests/(sha256:.+)$ { ${manifest} add_header Docker-Content-Digest $1; }
    location ~ /manifests/ { ${manifest} }
    location ~ /blobs/ { limit_rate ${bytesPerSecond ?? 0}; }
  }
}
`
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/v2/`, { keepalive: false })
    await response.bytes()
    return true
  } catch {
    await Bun.sleep(1)
    return false
  }
}
