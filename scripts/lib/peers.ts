import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { freePort } from './free-port.ts'
import { type ProcessUsage, processUsage } from './process-usage.ts'
import { stopProcess } from './program.ts'
import { temporaryFolder } from './temporary-folder.ts'

const startSecondsMax = 30

/**
 * The measured servers: cay, an older cay, Debian's distribution 2.8, distribution 3.1, and nginx with the same bytes as
 * files.
 */
export type PeerName = 'cay' | 'cay, before' | 'docker-registry' | 'distribution' | 'nginx'

/** A running server. `await using` stops it and deletes its temporary folder. */
export interface Peer extends AsyncDisposable {
  name: PeerName
  port: number
  /** Its folder: the data of a registry, or the files that nginx serves. */
  data: string
  /** The time from its start to its first response. */
  startMilliseconds: number
  usage(): ProcessUsage
}

/** The path of each server's executable. */
export type Executables = Record<PeerName, string>

/** The registries to measure. An older cay is one of them only if `$CAY_BEFORE` names its executable. */
export function registriesOf(executables: Executables): PeerName[] {
  const before = executables['cay, before'] === '' ? [] : (['cay, before'] as const)
  return ['cay', ...before, 'distribution', 'docker-registry']
}

/** Builds cay (or uses `$CAY_EXECUTABLE`), and installs its peers. */
export async function bringPeers(): Promise<Executables> {
  const tools = await bringTools(['docker-registry', 'registry', 'nginx'])
  return {
    cay: process.env.CAY_EXECUTABLE ?? (await build()),
    'cay, before': process.env.CAY_BEFORE ?? '',
    'docker-registry': tools['docker-registry'] ?? '',
    distribution: tools.registry ?? '',
    nginx: tools.nginx ?? '',
  }
}

export interface PeerOptions {
  /** The data folder of a registry, which is kept; by default a temporary one. */
  data?: string | undefined
  /** The `host:port` of a registry that it caches. In cay its repositories begin with `up.example/`. */
  upstream?: string
  /** Settings of cay. */
  env?: Record<string, string>
}

/**
 * Starts a server on a free port of loopback and waits for its first response.
 * @throws Error with its output, if it exits
 */
export async function startPeer(
  executables: Partial<Executables>,
  name: PeerName,
  options: PeerOptions = {},
): Promise<Peer> {
  const folder = await temporaryFolder(`bench-${name.replace(', ', '-')}`)
  const { data = join(folder.path, 'data'), upstream } = options
  const setup = { port: freePort(), folder: folder.path, data, upstream }
  await mkdir(setup.data, { recursive: true })
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
  const startMilliseconds = performance.now() - began
  const usage = () => processUsage(child.pid)
  return { name, port: setup.port, data: setup.data, startMilliseconds, usage, [Symbol.asyncDispose]: stop }
}

/** Starts several servers, which are measured in turns. */
export async function startPeers(executables: Executables, names: readonly PeerName[]) {
  await using stack = new AsyncDisposableStack()
  const peers: Peer[] = []
  for (const name of names) peers.push(stack.use(await startPeer(executables, name)))
  const started = stack.move()
  return { peers, [Symbol.asyncDispose]: () => started.disposeAsync() }
}

interface Setup {
  port: number
  folder: string
  data: string
  upstream: string | undefined
}

const argumentsOf: Record<PeerName, (setup: Setup) => Promise<string[]>> = {
  cay: cayArguments,
  'cay, before': cayArguments,
  // The last release line that supports Docker schema 1.
  'docker-registry': (setup) => registryArguments(setup, 'compatibility: { schema1: { enabled: true } }\n'),
  distribution: (setup) => registryArguments(setup, ''),
  nginx: async (setup) => {
    const config = join(setup.folder, 'nginx.conf')
    await writeFile(config, nginxConfig(setup))
    return ['-c', config, '-e', join(setup.folder, 'error.log')]
  },
}

async function cayArguments({ port, data, upstream }: Setup): Promise<string[]> {
  const settings = `[[upstream]]\nname = "up.example"\nurl = "http://${upstream}"\n`
  if (upstream !== undefined) await writeFile(join(data, 'cay.toml'), settings)
  return ['serve', '--listen', `127.0.0.1:${port}`, '--data', data, '--access', 'open']
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

function nginxConfig({ folder, port, data }: Setup): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `daemon off;
worker_processes 1;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  ${temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n  ')}
  server { listen 127.0.0.1:${port}; root ${data}; }
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
