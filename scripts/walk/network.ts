import { chmod, copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bootDebian, type Machine } from '../installs/debian-machine.ts'
import { runCommand } from '../lib/command.ts'
import { bringTools } from '../toolchain/toolchain.ts'

/** The name by which the other hosts know the server, and its address, as in README.md. */
export const REGISTRY = 'registry.example'
const SERVER_ADDRESS = '192.0.2.7'

/** The address and the user of each host. */
const HOSTS = {
  server: { address: SERVER_ADDRESS, user: 'ops' },
  laptop: { address: '192.0.2.20', user: 'alice' },
  ci: { address: '192.0.2.30', user: 'runner' },
} as const

export type HostName = keyof typeof HOSTS

/** A Debian machine with one user, who can use sudo. */
export interface Host {
  name: HostName
  user: string
  machine: Machine
}

/** Three hosts, each with a network of its own. `await using` stops them. */
export interface Network extends AsyncDisposable {
  hosts: Record<HostName, Host>
}

const packages = ['sudo', 'ca-certificates', 'curl', 'openssl', 'skopeo']

/** Boots the three hosts, and connects the server with each of the others. */
export async function bootNetwork(folder: string): Promise<Network> {
  await using stack = new AsyncDisposableStack()
  const boot = async (name: HostName): Promise<Host> => {
    const machine = stack.use(await bootDebian(folder, { name, packages }))
    const { user } = HOSTS[name]
    await machine.run('useradd', '--create-home', '--shell', '/bin/bash', user)
    // As a session of a login has it.
    await machine.shell(`install --directory --mode 700 --owner ${user} /run/user/$(id --user ${user})`)
    await Bun.write(join(machine.root, 'etc/sudoers.d/user'), `${user} ALL=(ALL) NOPASSWD: ALL\n`)
    await Bun.write(
      join(machine.root, 'etc/hosts'),
      `127.0.0.1 localhost ${name}\n::1 localhost\n${SERVER_ADDRESS} ${REGISTRY}\n`,
    )
    return { name, user, machine }
  }
  // One after the other: the first one may make the archive of the root.
  const hosts = { server: await boot('server'), laptop: await boot('laptop'), ci: await boot('ci') }
  await connect(hosts.server, hosts.laptop)
  await connect(hosts.server, hosts.ci)
  const { crane = '' } = await bringTools(['crane'])
  const inside = join(hosts.ci.machine.root, 'usr/local/bin/crane')
  await copyFile(crane, inside)
  await chmod(inside, 0o755)
  stack.move()
  const stop = async () => {
    await Promise.all(Object.values(hosts).map(({ machine }) => machine[Symbol.asyncDispose]()))
  }
  return { hosts, [Symbol.asyncDispose]: stop }
}

/** Lays a cable between the server and another host. */
async function connect(server: Host, other: Host): Promise<void> {
  const ip = async (host: Host, ...words: string[]) =>
    void (await runCommand([...host.machine.inNetwork, 'ip', ...words]))
  const plug = async (host: Host, device: string, peer: Host) => {
    const { address } = HOSTS[host.name]
    await ip(host, 'address', 'add', address, 'peer', HOSTS[peer.name].address, 'dev', device)
    await ip(host, 'link', 'set', 'lo', 'up')
    await ip(host, 'link', 'set', device, 'up')
  }
  const end = ['peer', 'name', 'eth0', 'netns', String(other.machine.leader)]
  await ip(server, 'link', 'add', other.name, 'type', 'veth', ...end)
  await plug(server, other.name, other)
  await plug(other, 'eth0', server)
}
