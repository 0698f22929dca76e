import { expect } from 'bun:test'
import { existsSync } from 'node:fs'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../../package.json'
import { build } from '../../scripts/build.ts'
import { runCommand } from '../../scripts/lib/command.ts'
import { sha256 } from '../../scripts/lib/image.ts'
import { stopProcess } from '../../scripts/lib/program.ts'
import { eventually } from '../../scripts/lib/repeated.ts'
import { buildImage } from '../../scripts/packaging/container-image.ts'
import { compileReleased, platforms, sourceSeconds } from '../../scripts/packaging/platform.ts'
import { bringTools, cacheFolder } from '../../scripts/toolchain/toolchain.ts'

const bootSecondsMax = 120
const makeSecondsMax = 1800
const dayMilliseconds = 86_400_000

/** The user without privileges, who exists only for podman: its commands see other account files. */
const user = 4242

/** Returns cay's container image, an OCI layout that is kept in the cache for a day, while the source stays the same. */
export async function ownImage(): Promise<string> {
  const stamp = await Bun.file(`${await build()}.stamp`).text()
  const recipe = await Bun.file(join(import.meta.dir, '../../scripts/packaging/container-image.ts')).text()
  for (const name of await readdir(cacheFolder())) {
    const path = join(cacheFolder(), name)
    const isOld = name.startsWith('cay-image-') && (await stat(path)).mtimeMs < Date.now() - dayMilliseconds
    if (isOld) await rm(path, { recursive: true, force: true })
  }
  const key = sha256(Buffer.from(`${stamp} ${recipe} ${sourceSeconds()}`)).slice(7, 23)
  return await keep(`cay-image-${key}`, async (folder) => {
    const executables = join(folder, 'executables')
    const names = platforms.map(({ executable }) => executable)
    await compileReleased(names, executables)
    await buildImage(join(folder, 'layout'), executables)
    return join(folder, 'layout')
  })
}

/** Returns a file or folder of the cache. If it is missing, `make` makes it in a folder, and returns its path. */
export async function keep(name: string, make: (folder: string) => Promise<string>): Promise<string> {
  const path = join(cacheFolder(), name)
  if (existsSync(path)) return path
  await mkdir(cacheFolder(), { recursive: true })
  const folder = await mkdtemp(join(cacheFolder(), 'making-'))
  try {
    await rename(await make(folder), path)
    return path
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Where to push to. */
interface Target {
  /** `host:port` */
  address: string
  password: string
  /** Words before the command, for example to run it in another network. */
  prefix?: string[]
}

/** Pushes an index of a layout with all its platforms as cay/cay, and expects to get the same bytes back. */
export async function pushLayout(layout: string, { address, password, prefix = [] }: Target): Promise<void> {
  const { skopeo = '' } = await bringTools(['skopeo'])
  const name = `docker://${address}/cay/cay:${version}`
  const credentials = `admin:${password}`
  const push = ['copy', '--quiet', '--all', '--dest-tls-verify=false', '--dest-creds', credentials]
  await runCommand([...prefix, skopeo, ...push, `oci:${layout}:${version}`, name])
  const inspect = ['inspect', '--raw', '--tls-verify=false', '--creds', credentials]
  const pulled = await runCommand([...prefix, skopeo, ...inspect, name])
  expect(sha256(Buffer.from(pulled))).toBe(await indexDigest(layout))
}

/** Returns the digest of the index in a layout. */
export async function indexDigest(layout: string): Promise<string> {
  const { manifests } = await Bun.file(join(layout, 'index.json')).json()
  return manifests[0].digest
}

/** Expects a log without the password, which says how to show it. */
export function expectNoSecret(log: string, password: string): void {
  expect(log).not.toContain(password)
  expect(log).toContain('cay initial-password')
}

/** A clean Debian that was booted with systemd in a container. `await using` stops it. */
export interface Machine extends AsyncDisposable {
  /** Its root folder on this host. */
  root: string
  /** Words before a command that make it run in the network of the machine. */
  inNetwork: string[]
  /** Runs a command in the machine as root, and returns its output without spaces around it. */
  run(...command: string[]): Promise<string>
  /** Does the same with a line of shell. */
  shell(line: string): Promise<string>
}

/** Boots a new Debian below `folder`. Its archive is kept in the cache. */
export async function bootDebian(folder: string): Promise<Machine> {
  const { nspawn = '', mmdebstrap = '' } = await bringTools(['nspawn', 'mmdebstrap'])
  const archive = await keep('debian-bookworm-systemd.tar', async (making) => {
    const options = ['--quiet', '--variant=minbase', '--include=systemd,systemd-sysv,dbus']
    const made = join(making, 'root.tar')
    await runCommand([mmdebstrap, ...options, 'bookworm', made], { secondsMax: makeSecondsMax })
    return made
  })
  const root = join(folder, 'machine')
  await mkdir(root)
  await runCommand(['tar', '--extract', '--file', archive, '--directory', root])
  // The archive has the host name of the host that made it.
  await writeFile(join(root, 'etc/hostname'), 'machine\n')
  const options = ['--quiet', '--register=no', '--keep-unit', '--link-journal=no', '--private-network']
  const named = [
    `--machine=${folder.split('/').at(-1)?.toLowerCase()}`,
    '--hostname=machine',
    '--console=pipe',
  ]
  const container = Bun.spawn([nspawn, ...options, ...named, '--boot', '--directory', root], {
    stdin: 'ignore',
    stdout: Bun.file(join(folder, 'console.log')),
    stderr: Bun.file(join(folder, 'errors.log')),
  })
  // systemd-nspawn shuts the machine down.
  const stop = () => stopProcess(container)
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  const into = (leader: string) => ['nsenter', '--target', leader, '--all', 'env', '-i', path, 'HOME=/root']
  try {
    // Its first child is not always the one that boots.
    const leader = await eventually(async () => {
      const child = (await readFile(`/proc/${container.pid}/task/${container.pid}/children`, 'utf8')).trim()
      if (!/^\d+$/.test(child)) throw new Error('the machine has no process yet')
      await runCommand([...into(child), 'systemctl', 'is-system-running', '--wait'])
      return child
    }, bootSecondsMax)
    const run = async (...command: string[]) => (await runCommand([...into(leader), ...command])).trim()
    const inNetwork = ['nsenter', '--target', leader, '--net', '--']
    return { root, inNetwork, run, shell: (line) => run('sh', '-c', line), [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Podman of a user without privileges. `await using` removes all that it has stored. */
export interface RootlessPodman extends AsyncDisposable {
  /** The path of the command. */
  path: string
  /** Runs a command to its end, and returns its output without spaces around it. */
  run(...args: string[]): Promise<string>
}

/** Prepares podman for a user without privileges, below `folder`, which everybody can enter. */
export async function rootlessPodman(folder: string): Promise<RootlessPodman> {
  await bringTools(['podman', 'runc', 'slirp4netns', 'newuidmap'])
  const home = join(folder, 'home')
  const configuration = join(home, '.config', 'containers')
  for (const path of [folder, home, join(home, '.config'), configuration, join(home, 'run')]) {
    await mkdir(path, { recursive: true })
    await chmod(path, 0o755)
    if (path !== folder) await chown(path, user, user)
  }
  const path = join(folder, 'podman')
  const accounts = await readFile('/etc/passwd', 'utf8')
  const files = {
    [join(folder, 'passwd')]: `${accounts}cay-test:x:${user}:${user}::${home}:/bin/sh\n`,
    [join(folder, 'ranges')]: 'cay-test:200000:65536\n',
    [join(configuration, 'policy.json')]: JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
    [join(configuration, 'storage.conf')]: '[storage]\ndriver = "overlay"\n',
    [path]: podmanWrapper(folder, home),
  }
  for (const [name, text] of Object.entries(files)) await writeFile(name, text)
  await chmod(path, 0o755)
  await runCommand(['mknod', '--mode=666', join(folder, 'tun'), 'c', '10', '200'])
  const run = async (...args: string[]) => (await runCommand([path, ...args], { cwd: home })).trim()
  return {
    path,
    run,
    async [Symbol.asyncDispose]() {
      await run('rm', '--all', '--force', '--time', '5')
      await run('system', 'migrate')
    },
  }
}

/** Returns a command that runs podman as the user, who can open a tun device and has a range of ids. */
function podmanWrapper(folder: string, home: string): string {
  const files = { passwd: '/etc/passwd', ranges: '/etc/subuid', tun: '/dev/net/tun' }
  const script = [
    'mount --make-shared / 2>/dev/null',
    ...Object.entries(files).map(([from, to]) => `mount --bind ${folder}/${from} ${to}`),
    `mount --bind ${folder}/ranges /etc/subgid`,
    `exec setpriv --reuid ${user} --regid ${user} --clear-groups \\`,
    `env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=${home} XDG_RUNTIME_DIR=${home}/run \\`,
    'podman --runtime=runc --cgroup-manager=cgroupfs --events-backend=none "$@"',
  ]
  return `#!/bin/sh\nexec unshare --mount --propagation slave sh -c '${script.join('\n')}' podman "$@"\n`
}
