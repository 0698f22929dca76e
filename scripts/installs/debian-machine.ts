import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { stopProcess } from '../lib/program.ts'
import { eventually } from '../lib/repeated.ts'
import { cacheFolder } from '../toolchain/go-tool.ts'
import { bringTools } from '../toolchain/toolchain.ts'

const bootSecondsMax = 120
const makeSecondsMax = 1800

/** A clean Debian that was booted with systemd in a container. `await using` stops it. */
export interface Machine extends AsyncDisposable {
  /** Its root folder on this host. */
  root: string
  /** The id of its first process on this host. */
  leader: string
  /** Words before a command that make it run in the machine, as root with a clean environment. */
  inside: string[]
  /** Words before a command that make it run in the network of the machine. */
  inNetwork: string[]
  /** Runs a command in the machine, and returns its output without spaces around it. */
  run(...command: string[]): Promise<string>
  /** Does the same with a line of shell. */
  shell(line: string): Promise<string>
}

export interface MachineOptions {
  /** Its host name, and its folder's. */
  name?: string
  /** Debian packages besides systemd. */
  packages?: string[]
}

/** Boots a new Debian below `folder`. */
export async function bootDebian(
  folder: string,
  { name = 'machine', packages = [] }: MachineOptions = {},
): Promise<Machine> {
  const { nspawn = '' } = await bringTools(['nspawn'])
  const root = join(folder, name)
  await mkdir(root)
  await runCommand(['tar', '--extract', '--file', await rootArchive(packages), '--directory', root])
  // The archive has the host name of the host that made it.
  await writeFile(join(root, 'etc/hostname'), `${name}\n`)
  const named = [`--machine=cay-${process.pid}-${name}`, `--hostname=${name}`]
  const options = ['--quiet', '--register=no', '--keep-unit', '--link-journal=no', '--private-network']
  const container = Bun.spawn(
    [nspawn, ...options, ...named, '--console=pipe', '--boot', '--directory', root],
    {
      stdin: 'ignore',
      stdout: Bun.file(join(folder, `${name}.console.log`)),
      stderr: Bun.file(join(folder, `${name}.errors.log`)),
    },
  )
  // systemd-nspawn shuts the machine down.
  const stop = () => stopProcess(container)
  try {
    const clean = [
      'env',
      '--ignore-environment',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]
    const enter = (leader: string) => ['nsenter', '--target', leader]
    const into = (leader: string) => [...enter(leader), '--all', ...clean, 'HOME=/root']
    // Its first child is not always the one that boots.
    const leader = await eventually(async () => {
      const child = await childOf(container.pid)
      await runCommand([...into(child), 'systemctl', 'is-system-running', '--wait'])
      return child
    }, bootSecondsMax)
    const inside = into(leader)
    const run = async (...command: string[]) => (await runCommand([...inside, ...command])).trim()
    return {
      root,
      leader,
      inside,
      inNetwork: [...enter(leader), '--net', '--'],
      run,
      shell: (line) => run('sh', '-c', line),
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Returns the archive of a minimal Debian with systemd and these packages, which is kept in the cache. */
async function rootArchive(packages: string[]): Promise<string> {
  const path = join(cacheFolder(), `debian-bookworm-${['systemd', ...packages].join('-')}.tar`)
  if (existsSync(path)) return path
  const { mmdebstrap = '' } = await bringTools(['mmdebstrap'])
  await mkdir(cacheFolder(), { recursive: true })
  const include = `--include=${['systemd', 'systemd-sysv', 'dbus', ...packages].join(',')}`
  const make = [mmdebstrap, '--quiet', '--variant=minbase', include, 'bookworm', `${path}.new.tar`]
  await runCommand(make, { secondsMax: makeSecondsMax })
  await rename(`${path}.new.tar`, path)
  return path
}

/** Returns the id of the only child of a process. */
async function childOf(pid: number): Promise<string> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim()
  if (!/^\d+$/.test(children)) throw new Error(`process ${pid} has no child yet`)
  return children
}
