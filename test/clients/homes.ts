import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startProgram } from '../../scripts/lib/program.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'

/** What a client finds when its commands run: variables, and perhaps a daemon. */
export interface Home {
  env: Record<string, string>
  /** Stops the daemon. */
  tearDown?(): Promise<void>
}

/**
 * Prepares a home for the clients that share containers/image and containers/storage (podman, buildah, skopeo), so that
 * they read none of the machine's configuration and keep all that they store below it.
 */
export async function containersHome(home: string): Promise<Home> {
  const [runtime, storage] = [join(home, 'run'), join(home, 'storage')]
  await mkdir(runtime, { recursive: true, mode: 0o700 })
  const engine = ['cgroup_manager = "cgroupfs"', 'events_logger = "none"', 'lock_type = "file"']
  const files = {
    '.config/containers/policy.json': JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
    'registries.conf': 'unqualified-search-registries = []\n',
    'storage.conf': `[storage]\ndriver = "vfs"\ngraphroot = "${storage}"\nrunroot = "${runtime}/storage"\n`,
    'containers.conf': `[engine]\n${engine.join('\n')}\ntmp_dir = "${runtime}/libpod"\n`,
  }
  for (const [path, text] of Object.entries(files)) await Bun.write(join(home, path), text)
  return {
    env: {
      XDG_RUNTIME_DIR: runtime,
      // Otherwise the clients use root's cache of blob locations, /var/lib/containers/cache.
      _CONTAINERS_ROOTLESS_UID: '1',
      CONTAINERS_CONF: join(home, 'containers.conf'),
      CONTAINERS_REGISTRIES_CONF: join(home, 'registries.conf'),
      CONTAINERS_STORAGE_CONF: join(home, 'storage.conf'),
    },
  }
}

export interface EngineOptions {
  /** The `host:port` of a mirror of Docker Hub. */
  mirror?: string
  env?: Record<string, string>
  /** Gives it a network of its own with a bridge, whose ports are nobody else's. By default its containers have none. */
  hasNetwork?: boolean
}

/** Starts Docker's engine below `home`, without a storage driver of the kernel. */
export async function startEngine(home: string, { mirror, env = {}, hasNetwork }: EngineOptions = {}) {
  const { dockerd = '', ip = '' } = await bringTools(['dockerd', 'ip'])
  const host = `unix://${home}/docker.sock`
  const folders = ['--data-root', `${home}/data`, '--exec-root', `${home}/exec`, '--pidfile', `${home}/pid`]
  const network = ['--iptables=false', '--ip6tables=false', ...(hasNetwork ? [] : ['--bridge=none'])]
  const mirrors = mirror === undefined ? [] : ['--registry-mirror', `http://${mirror}`]
  const command = [dockerd, ...network, ...mirrors, '--storage-driver=vfs', ...folders, '--host', host]
  const inside = hasNetwork ? ['unshare', '--net', 'sh', '-c', `${ip} link set lo up && exec "$@"`, 'sh'] : []
  const tearDown = await startDaemon([...inside, ...command], home, 'API listen on', env)
  return { env: { DOCKER_HOST: host }, tearDown }
}

/** Starts containerd with nothing but its store of content, below `home`. */
export async function startContainerd(home: string): Promise<Home> {
  const { containerd = '' } = await bringTools(['containerd'])
  const [address, file] = [join(home, 'containerd.sock'), join(home, 'containerd.toml')]
  await Bun.write(
    file,
    `version = 2
root = "${home}/containerd/root"
state = "${home}/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "${address}"
[ttrpc]
address = "${address}.ttrpc"
`,
  )
  const tearDown = await startDaemon([containerd, '--config', file], home, 'containerd successfully booted')
  return { env: { CONTAINERD_ADDRESS: address }, tearDown }
}

/** Starts BuildKit below `home`, without a network. */
export async function startBuilder(home: string): Promise<Home> {
  const { buildkitd = '' } = await bringTools(['buildkitd', 'runc'])
  const host = `unix://${home}/buildkit.sock`
  await Bun.write(`${home}/none.toml`, '')
  const folders = ['--root', `${home}/root`, '--otel-socket-path', `${home}/otel.sock`]
  const worker = ['--containerd-worker=false', '--oci-worker-snapshotter=native', '--oci-worker-net=host']
  const command = [buildkitd, '--addr', host, ...folders, '--config', `${home}/none.toml`, ...worker]
  return { env: { BUILDKIT_HOST: host }, tearDown: await startDaemon(command, home, 'running server on') }
}

/** Starts a daemon, which prints `ready` when it is. Returns a function that stops it. */
async function startDaemon(command: string[], home: string, ready: string, env: Record<string, string> = {}) {
  const daemon = await startProgram(command, {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: home, ...env },
    isReady: (line) => line.includes(ready) || undefined,
  })
  return daemon.stop
}
