import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { bringTools } from '../toolchain/toolchain.ts'

/** The user without privileges, who exists only for podman: its commands see other account files. */
const user = 4242

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
  }
  const accounts = await readFile('/etc/passwd', 'utf8')
  const files = {
    passwd: `${accounts}cay-test:x:${user}:${user}::${home}:/bin/sh\n`,
    ranges: 'cay-test:200000:65536\n',
    [`${configuration}/policy.json`]: JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
    [`${configuration}/storage.conf`]: '[storage]\ndriver = "overlay"\n',
    podman: wrapper(folder, home),
  }
  for (const [path, text] of Object.entries(files)) {
    await writeFile(path.startsWith('/') ? path : join(folder, path), text)
  }
  await chmod(join(folder, 'podman'), 0o755)
  await runCommand(['mknod', '--mode=666', join(folder, 'tun'), 'c', '10', '200'])
  for (const path of [home, join(home, 'run'), join(home, '.config'), configuration])
    await chown(path, user, user)
  const path = join(folder, 'podman')
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
function wrapper(folder: string, home: string): string {
  const files = { passwd: '/etc/passwd', ranges: '/etc/subuid', tun: '/dev/net/tun' }
  const binds = Object.entries({ ...files }).map(([from, to]) => `mount --bind ${folder}/${from} ${to}`)
  const identity = `setpriv --reuid ${user} --regid ${user} --clear-groups`
  const environment = `env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=${home} XDG_RUNTIME_DIR=${home}/run`
  const podman = 'podman --runtime=runc --cgroup-manager=cgroupfs --events-backend=none'
  const script = [
    'mount --make-shared / 2>/dev/null',
    ...binds,
    `mount --bind ${folder}/ranges /etc/subgid`,
    `exec ${identity} ${environment} ${podman} "$@"`,
  ]
  return `#!/bin/sh\nexec unshare --mount --propagation slave sh -c '${script.join('\n')}' podman "$@"\n`
}
