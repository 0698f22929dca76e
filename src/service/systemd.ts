import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { CommandError, EXIT } from '../cli/failure.ts'
import { hasLowPort } from '../config/values.ts'
import { systemdUnit } from './unit.ts'

const UNIT = 'cay.service'
const UNIT_PATH = `/etc/systemd/system/${UNIT}`
const PACKAGED_PATHS = ['/usr/lib/systemd/system/cay.service', '/lib/systemd/system/cay.service']
const COPY = '/usr/local/bin/cay'

/** Where the unit may run executables from: it cannot see home folders, and users can change others. */
const SYSTEM_FOLDERS = /^\/(usr|opt|bin|sbin)\//

/**
 * Installs the unit, and starts it. Returns when the server is ready. Without arguments an installed unit keeps its own, so
 * that a newer executable can take its place.
 */
export async function installUnit(given: readonly string[], listen: readonly string[]): Promise<void> {
  requireSystemd()
  const packaged = PACKAGED_PATHS.find((path) => existsSync(path))
  if (packaged !== undefined) {
    throw new CommandError(
      `the package has installed ${packaged}: set CAY_* variables in /etc/default/cay, then run: systemctl enable --now cay`,
    )
  }
  const { executable, isCopy } = placeExecutable()
  const { args, isLow } = settingsOf(given, listen)
  const notes = [`Arguments=${JSON.stringify(args)}`, ...(isCopy ? [`Copied=${executable}`] : [])]
  writeFileSync(UNIT_PATH, systemdUnit({ executable, args, hasLowPort: isLow, notes }))
  await systemctl('daemon-reload')
  await systemctl('enable', UNIT)
  try {
    await systemctl('restart', UNIT)
  } catch {
    const log = await run(['journalctl', '--unit', UNIT, '--lines', '5', '--output', 'cat', '--no-pager'])
    throw new CommandError(
      `${UNIT} is installed, but does not start: see journalctl -u cay\n${log.output.trim()}`,
    )
  }
  print(`installed ${UNIT_PATH}, and started it`)
  print('next: cay service status, cay initial-password, journalctl -u cay')
}

/** Returns the arguments of the unit, and whether one of its ports is low. */
function settingsOf(
  args: readonly string[],
  listen: readonly string[],
): { args: readonly string[]; isLow: boolean } {
  const installed = existsSync(UNIT_PATH) ? readFileSync(UNIT_PATH, 'utf8') : ''
  const [, kept] = /^Arguments=(.*)$/m.exec(installed) ?? []
  if (args.length > 0 || kept === undefined) return { args, isLow: listen.some(hasLowPort) }
  return { args: JSON.parse(kept), isLow: /^AmbientCapabilities=\S/m.test(installed) }
}

/** Stops the service, and removes everything that installing it created, except the data. */
export async function uninstallUnit(data: string): Promise<void> {
  requireSystemd()
  if (!existsSync(UNIT_PATH)) throw notInstalled()
  await systemctl('disable', '--now', UNIT)
  const [, copied] = /^Copied=(.*)$/m.exec(readFileSync(UNIT_PATH, 'utf8')) ?? []
  rmSync(UNIT_PATH)
  await systemctl('daemon-reload')
  await run(['systemctl', 'reset-failed', UNIT])
  if (copied !== undefined) rmSync(copied, { force: true })
  print(`uninstalled ${UNIT_PATH}; the data in ${data} is kept`)
}

/** Prints the state of the service. Returns 0 if it runs, otherwise 1. */
export async function printStatus(data: string): Promise<number> {
  requireSystemd()
  const properties =
    'LoadState,ActiveState,SubState,StateChangeTimestamp,MainPID,NRestarts,StatusText,FragmentPath'
  const shown = new Map<string, string>()
  for (const line of (await systemctl('show', UNIT, `--property=${properties}`)).split('\n')) {
    const at = line.indexOf('=')
    shown.set(line.slice(0, at), line.slice(at + 1))
  }
  const of = (name: string) => shown.get(name) ?? ''
  if (of('LoadState') !== 'loaded') throw notInstalled()
  print(`${UNIT}  ${of('ActiveState')} (${of('SubState')}) since ${of('StateChangeTimestamp') || 'boot'}`)
  if (of('ActiveState') === 'active') print(`status       ${of('StatusText')}`)
  if (of('MainPID') !== '0') print(`process      ${of('MainPID')}`)
  print(`restarts     ${of('NRestarts')}`)
  print(`data         ${data}`)
  print(`unit         ${of('FragmentPath')}`)
  print('log          journalctl -u cay')
  return of('ActiveState') === 'active' ? 0 : 1
}

/** Returns an executable that the unit can run. One in a home folder is copied, as the unit cannot see those. */
function placeExecutable(): { executable: string; isCopy: boolean } {
  const own = process.execPath
  if (SYSTEM_FOLDERS.test(own)) return { executable: own, isCopy: own === COPY && wasCopied() }
  const temporary = `${COPY}.new`
  copyFileSync(own, temporary)
  renameSync(temporary, COPY)
  return { executable: COPY, isCopy: true }
}

function wasCopied(): boolean {
  return existsSync(UNIT_PATH) && readFileSync(UNIT_PATH, 'utf8').includes(`\nCopied=${COPY}\n`)
}

function requireSystemd(): void {
  if (!existsSync('/run/systemd/system')) {
    throw new CommandError('this host does not run systemd: see cay service print --help for other systems')
  }
  if (process.getuid?.() !== 0)
    throw new CommandError('only root can manage the service: use sudo', EXIT.denied)
}

function notInstalled(): CommandError {
  return new CommandError(`${UNIT} is not installed: run cay service install`, EXIT.absent)
}

async function systemctl(...args: string[]): Promise<string> {
  const { code, output, errors } = await run(['systemctl', ...args])
  if (code !== 0) throw new CommandError(`systemctl ${args.join(' ')} failed: ${errors.trim()}`)
  return output
}

async function run(command: string[]): Promise<{ code: number; output: string; errors: string }> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { code, output, errors }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
