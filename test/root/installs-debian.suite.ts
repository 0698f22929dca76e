/** Installs and upgrades cay under systemd, in a clean Debian that is booted in a container. */

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { copyFile, cp, readdir, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { version } from '../../package.json'
import { build } from '../../scripts/build.ts'
import { runCommand } from '../../scripts/lib/command.ts'
import { makeIndex, makePlatforms, writeLayout } from '../../scripts/lib/image.ts'
import { eventually } from '../../scripts/lib/repeated.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { buildDeb } from '../../scripts/packaging/packages.ts'
import { platforms } from '../../scripts/packaging/platform.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { migrations } from '../../src/database/migrations.ts'
import { fixtureContent } from '../support/fixture-content.ts'
import { bootDebian, expectNoSecret, keep, type Machine, pushLayout } from './installation.ts'

/** The highest exposure that `systemd-analyze security` may find, in tenths. */
const exposureMax = 20

const repository = join(import.meta.dir, '..', '..')
const fixtures = join(repository, 'test', 'fixtures')
const data = '/var/lib/private/cay'

let executable: string
let debs: TemporaryFolder

beforeAll(async () => {
  debs = await temporaryFolder('debs')
  await bringTools(['nspawn', 'mmdebstrap', 'skopeo'])
  executable = await build()
})

afterAll(() => debs[Symbol.asyncDispose]())

test('service: the unit restarts after a kill and a hang, until uninstall leaves only the data', async () => {
  await using booted = await boot()
  const { machine, layout } = booted
  const before = await filesOf(machine)
  await copyFile(executable, join(machine.root, 'root', 'cay'))
  await machine.run('/root/cay', 'service', 'install', '--listen', '0.0.0.0:5000', '--tls', 'off')
  await checkUnit(machine, '/etc/systemd/system/cay.service')
  const active = /^cay\.service {2}active \(running\)[\s\S]*Serving on 0\.0\.0\.0:5000/
  expect(await machine.run('cay', 'service', 'status')).toMatch(active)
  const password = await machine.run('cay', 'initial-password')
  expectNoSecret(await machine.run('journalctl', '--unit', 'cay'), password)
  await pushLayout(layout, { address: '127.0.0.1:5000', password, prefix: machine.inNetwork })
  const owner = await machine.shell('stat --format %u /proc/$(systemctl show --property MainPID --value cay)')
  expect(owner).not.toBe('0')
  await machine.run('/root/cay', 'service', 'install')
  expect(await machine.run('cay', 'service', 'status')).toMatch(/Serving on 0\.0\.0\.0:5000/)
  // A kill, and a serving thread that hangs.
  await restartsAfter(machine, 'KILL')
  await dropIn(machine, 'WatchdogSec=2')
  await machine.run('systemctl', 'restart', 'cay')
  await restartsAfter(machine, 'STOP')
  expect(await machine.run('journalctl', '--unit', 'cay', '--output', 'cat')).toMatch(/watchdog/i)
  await dropIn(machine)
  expect(await machine.run('cay', 'repo', 'list')).toContain('cay/cay')
  await machine.run('/root/cay', 'service', 'uninstall')
  await machine.run('rm', '/root/cay')
  await expectOnlyData(machine, before)
})

test('deb: it is installed, upgraded with its data, removed, purged, and installed again', async () => {
  await using booted = await boot()
  const { machine, layout } = booted
  const before = await filesOf(machine)
  await installDeb(machine, '0.0.1')
  await checkUnit(machine, '/usr/lib/systemd/system/cay.service')
  await eventually(() => machine.run('cay', 'health'))
  const password = await machine.run('cay', 'initial-password')
  await pushLayout(layout, { address: '127.0.0.1:5000', password, prefix: machine.inNetwork })
  await machine.shell(
    'bash -n /usr/share/bash-completion/completions/cay && zcat /usr/share/man/man1/cay.1.gz',
  )
  await machine.shell('echo CAY_LOG_LEVEL=debug >> /etc/default/cay')
  const earlier = await mainProcess(machine)
  await installDeb(machine, '0.0.2')
  expect(await mainProcess(machine)).not.toBe(earlier)
  expect(await machine.run('cat', '/etc/default/cay')).toContain('debug')
  expect(await machine.run('cay', 'tag', 'list', 'cay/cay')).toContain('sha256:')
  await machine.run('dpkg', '--remove', 'cay')
  expect(await machine.shell('systemctl is-active cay || true')).toContain('inactive')
  expect(await filesOf(machine)).toContain('/etc/default/cay')
  expect(await machine.run('dpkg', '--purge', 'cay')).toContain('data is kept in /var/lib/cay')
  await expectOnlyData(machine, before)
  await installDeb(machine, '0.0.2')
  expect(await machine.run('cay', 'tag', 'list', 'cay/cay')).toContain('sha256:')
})

test('upgrade: a data folder of each released schema is upgraded under the unit, and its copy again', async () => {
  await using booted = await boot()
  const { machine } = booted
  await installDeb(machine, '0.0.2')
  await machine.run('systemctl', 'stop', 'cay')
  await machine.shell('echo CAY_ACCESS=open >> /etc/default/cay')
  // A folder of the newest schema needs no upgrade.
  const isOlder = (name: string) => name.startsWith('data-') && Number(name.slice(-4)) < migrations.length
  const names = (await readdir(fixtures)).filter(isOlder).sort()
  expect(names).not.toEqual([])
  for (const name of names) {
    const inside = join(machine.root, data)
    await rm(inside, { recursive: true })
    // It belongs to root, until systemd gives it to the user of the service.
    await cp(join(fixtures, name), inside, { recursive: true })
    await machine.run('systemctl', 'start', 'cay')
    await expectContent(machine)
    await machine.run('systemctl', 'stop', 'cay')
    await putCopyBack(machine, Number(name.slice(-4)))
    await machine.run('systemctl', 'start', 'cay')
    await expectContent(machine)
    await machine.run('systemctl', 'stop', 'cay')
  }
})

test('upgrade: the package before the newest schema is upgraded with its data, and back by the copy', async () => {
  const earlier = await earlierVersion()
  await using booted = await boot()
  const { machine, layout } = booted
  // Versions before the unit do not report readiness.
  await dropIn(machine, 'Type=exec', 'WatchdogSec=0')
  await installDeb(machine, '0.0.1', earlier.executable)
  await eventually(() => machine.run('cay', 'health'))
  const password = await machine.run('cat', `${data}/initial-admin-password`)
  const target = { address: '127.0.0.1:5000', password, prefix: machine.inNetwork }
  await pushLayout(layout, target)
  await dropIn(machine)
  await installDeb(machine, '0.0.2')
  expect(await machine.run('cay', 'tag', 'list', 'cay/cay')).toContain('sha256:')
  // It can be pushed again, and pulled with the same bytes.
  await pushLayout(layout, target)
  await machine.run('systemctl', 'stop', 'cay')
  await dropIn(machine, 'Type=exec', 'WatchdogSec=0')
  // The earlier version refuses the newer database, and takes the copy.
  await installDeb(machine, '0.0.1', earlier.executable)
  await expect(eventually(() => machine.run('cay', 'health'), 3)).rejects.toThrow()
  await machine.run('systemctl', 'stop', 'cay')
  await putCopyBack(machine, earlier.migrations)
  await machine.run('systemctl', 'start', 'cay')
  await eventually(() => machine.run('cay', 'health'))
  await pushLayout(layout, target)
})

test('trust: by the commands that cay trust prints, a Debian without cay trusts its authority', async () => {
  await using folder = await temporaryFolder('trust')
  const data = join(folder.path, 'data')
  await using server = await startServer({ data, args: ['--tls', 'auto'] })
  const shown = await runCommand([executable, 'trust', '--data', data, '--registry', server.address])
  const printed = /On a host without cay:\n(?<commands>[\s\S]*prints (?<fingerprint>\S+)[\s\S]*)# Red Hat/
  const { commands = '', fingerprint = '' } = printed.exec(shown)?.groups ?? {}
  const places = '/etc/ssl/certs /usr/local/share/ca-certificates'
  const script = `set -e
    cd ${folder.path}
    for PLACE in ${places}; do mkdir -p .$PLACE; cp -a $PLACE/. .$PLACE; mount --bind .$PLACE $PLACE; done
    sudo() { "$@"; }
    if curl --silent --fail https://${server.address}/livez; then exit 1; fi
    ${commands.replaceAll('HOST:PORT', server.address)}
    curl --silent --show-error --fail https://${server.address}/livez`
  expect(await runCommand(['unshare', '--mount', 'sh', '-c', script])).toContain(`Fingerprint=${fingerprint}`)
})

/** Boots a machine, and makes a small image to push to it. */
async function boot() {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await temporaryFolder('installs')).path
  const layout = join(folder, 'layout')
  await writeLayout(layout, makeIndex(await makePlatforms({ layerBytes: 256 * 1024 })), version)
  const machine = resources.use(await bootDebian(folder))
  const kept = resources.move()
  return { machine, layout, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

/** Installs the package of an executable in a machine, which is built once as each version. */
async function installDeb(machine: Machine, as: string, path = executable): Promise<void> {
  const options = {
    version: as,
    folder: join(debs.path, basename(path)),
    executable: path,
  }
  const deb = join(options.folder, `cay_${as}_amd64.deb`)
  if (!existsSync(deb)) await buildDeb(platforms[0]!, options)
  await copyFile(deb, join(machine.root, 'root', 'cay.deb'))
  await machine.run('dpkg', '--install', '--force-downgrade', '/root/cay.deb')
  await machine.run('rm', '/root/cay.deb')
}

/** Replaces what is set beside the unit. */
async function dropIn(machine: Machine, ...settings: string[]): Promise<void> {
  const folder = '/run/systemd/system/cay.service.d'
  const text = ['[Service]', ...settings, ''].join('\\n')
  await machine.shell(
    `mkdir -p ${folder} && printf '${text}' > ${folder}/test.conf && systemctl daemon-reload`,
  )
}

async function checkUnit(machine: Machine, path: string): Promise<void> {
  expect(await machine.run('systemd-analyze', 'verify', path)).toBe('')
  await machine.run('systemd-analyze', 'security', '--no-pager', `--threshold=${exposureMax}`, 'cay.service')
}

/** Sends a signal to the server, and waits until systemd has replaced the process. */
async function restartsAfter(machine: Machine, signal: string): Promise<void> {
  const earlier = await mainProcess(machine)
  await machine.shell(`kill -${signal} ${earlier}`)
  await eventually(async () => {
    expect(await mainProcess(machine)).not.toBe(earlier)
    await machine.run('cay', 'health')
  })
}

function mainProcess(machine: Machine): Promise<string> {
  return machine.run('systemctl', 'show', '--property=MainPID', '--value', 'cay')
}

/** Returns the files of the machine that packages and services could leave behind. */
async function filesOf(machine: Machine): Promise<string[]> {
  const found = await machine.shell('find /etc /usr /opt /root /var/lib /srv -xdev | sort')
  return found.split('\n').filter((path) => !/^\/var\/lib\/(dpkg|systemd|apt|private$)/.test(path))
}

/** Expects that nothing was added but the data folder. */
async function expectOnlyData(machine: Machine, before: string[]): Promise<void> {
  const added = (await filesOf(machine)).filter((path) => !before.includes(path))
  expect(added.filter((path) => !/^\/var\/lib\/(private\/cay|cay$)/.test(path))).toEqual([])
  expect(added).toContain(`${data}/cay.db`)
}

/** Replaces the database by the copy of before the upgrade from a schema, as the documentation says. */
async function putCopyBack(machine: Machine, from: number): Promise<void> {
  await machine.shell(`cd ${data} && mv cay.db.before-${from} cay.db && rm --force cay.db-wal cay.db-shm`)
}

/** Expects every blob and tag of a fixture. */
async function expectContent(machine: Machine): Promise<void> {
  for (const { repository: name, digest, bytes } of fixtureContent().blobs) {
    const url = `http://127.0.0.1:5000/v2/${name}/blobs/${digest}`
    const pulled = Bun.spawn([...machine.inNetwork, 'curl', '--silent', '--fail', url], { stdout: 'pipe' })
    expect(await pulled.stdout.bytes()).toEqual(new Uint8Array(bytes))
  }
  expect(await machine.run('cay', 'tag', 'list', 'library/app')).toMatch(/latest[\s\S]*v1/)
}

/** Builds the version before the newest migration from the history, and keeps it in the cache. */
async function earlierVersion(): Promise<{ executable: string; migrations: number }> {
  const git = (...args: string[]) => runCommand(['git', ...args], { cwd: repository })
  const commit = (await git('log', '-1', '--format=%H', '--', 'drizzle/*.sql')).trim()
  const files = await git('ls-tree', '--name-only', `${commit}^`, 'drizzle/')
  const path = await keep(`cay-before-${commit.slice(0, 12)}`, async (folder) => {
    const source = join(folder, 'source')
    await git('worktree', 'add', '--force', '--detach', source, `${commit}^`)
    try {
      await runCommand([process.execPath, 'scripts/main.ts', 'build'], { cwd: source })
      await copyFile(join(source, 'dist', 'cay'), join(folder, 'cay'))
    } finally {
      await git('worktree', 'remove', '--force', source)
    }
    return join(folder, 'cay')
  })
  return { executable: path, migrations: files.split('\n').filter((name) => name.endsWith('.sql')).length }
}
