import { existsSync } from 'node:fs'
import { mkdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../lib/command.ts'
import { cacheFolder } from '../toolchain/go-tool.ts'
import { bringTools } from '../toolchain.ts'
import { eventually } from './trial.ts'

const stopSecondsMax = 30

/** A clean Debian that was booted with systemd in a container. `await using` stops it. */
export interface Machine extends AsyncDisposable {
  /** Its root folder on this host. */
  root: string
  /** Words before a command that make it run in the network of the machine. */
  inNetwork: string[]
  /** Runs a command in the machine, and returns its output without spaces around it. */
  run(...command: string[]): Promise<string>
  /** Does the same with a line of shell. */
  shell(line: string): Promise<string>
}

/** Boots a new Debian below `folder`. */
export async function bootDebian(folder: string): Promise<Machine> {
  const { nspawn = '' } = await bringTools(['nspawn'])
  const root = join(folder, 'machine')
  await mkdir(root)
  await runCommand(['tar', '--extract', '--file', await rootArchive(), '--directory', root])
  const options = ['--quiet', '--register=no', '--keep-unit', '--link-journal=no', '--private-network']
  const container = Bun.spawn([nspawn, ...options, '--console=pipe', '--boot', '--directory', root], {
    stdin: 'ignore',
    stdout: Bun.file(join(folder, 'console.log')),
    stderr: Bun.file(join(folder, 'errors.log')),
  })
  const stop = async () => {
    // systemd-nspawn shuts the machine down.
    container.kill('SIGTERM')
    const force = setTimeout(() => container.kill('SIGKILL'), stopSecondsMax * 1000)
    await container.exited
    clearTimeout(force)
  }
  try {
    const leader = await eventually(() => childOf(container.pid))
    const enter = ['nsenter', '--target', leader]
    const clean = [
      'env',
      '--ignore-environment',
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    ]
    const run = async (...command: string[]) =>
      (await runCommand([...enter, '--all', ...clean, 'HOME=/root', ...command])).trim()
    await eventually(() => run('systemctl', 'is-system-running', '--wait'))
    return {
      root,
      inNetwork: [...enter, '--net', '--'],
      run,
      shell: (line) => run('sh', '-c', line),
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Returns the archive of a minimal Debian with systemd, which is kept in the cache. */
async function rootArchive(): Promise<string> {
  const path = join(cacheFolder(), 'debian-bookworm-systemd.tar')
  if (existsSync(path)) return path
  const { mmdebstrap = '' } = await bringTools(['mmdebstrap'])
  await mkdir(cacheFolder(), { recursive: true })
  const packages = '--include=systemd,systemd-sysv,dbus'
  await runCommand([mmdebstrap, '--quiet', '--variant=minbase', packages, 'bookworm', `${path}.new.tar`])
  await rename(`${path}.new.tar`, path)
  return path
}

/** Returns the id of the only child of a process. */
async function childOf(pid: number): Promise<string> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim()
  if (!/^\d+$/.test(children)) throw new Error(`process ${pid} has no child yet`)
  return children
}
