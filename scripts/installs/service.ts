import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { runCommand } from '../lib/command.ts'
import { eventually } from '../lib/repeated.ts'
import { platforms } from '../packaging/platform.ts'
import { buildRpm } from '../packaging/rpm.ts'
import { sourceSeconds } from '../packaging/source-time.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { bootDebian, type Machine } from './debian-machine.ts'
import { installDeb } from './debian-package.ts'
import { expectNoSecret, pushOwnImage, type Trial } from './trial.ts'

/** The highest exposure that `systemd-analyze security` may find, in tenths. */
const exposureMax = 20

/** cay under systemd, in a clean Debian that is booted in a container. */
export const service: Trial = {
  name: 'service',
  tools: ['nspawn', 'mmdebstrap', 'skopeo'],
  cases: {
    async 'cay service install runs the unit, which restarts after a kill and a hang, until uninstall'({
      folder,
      layout,
    }) {
      await using machine = await bootDebian(folder)
      const before = await filesOf(machine)
      await copyFile(await build(), join(machine.root, 'root', 'cay'))
      await machine.run('/root/cay', 'service', 'install', '--listen', '0.0.0.0:5000', '--tls', 'off')
      await checkUnit(machine, '/etc/systemd/system/cay.service')
      match(
        await machine.run('cay', 'service', 'status'),
        /^cay\.service {2}active \(running\)[\s\S]*Serving on 0\.0\.0\.0:5000/,
      )
      const password = await machine.run('cay', 'initial-password')
      expectNoSecret(await machine.run('journalctl', '--unit', 'cay'), password)
      await pushOwnImage(layout, { address: '127.0.0.1:5000', password, prefix: machine.inNetwork })
      notEqual(
        await machine.shell('stat --format %u /proc/$(systemctl show --property MainPID --value cay)'),
        '0',
      )
      await machine.run('/root/cay', 'service', 'install')
      match(await machine.run('cay', 'service', 'status'), /Serving on 0\.0\.0\.0:5000/)
      // A kill, and a serving thread that hangs.
      await restartsAfter(machine, 'KILL')
      await machine.shell(
        'mkdir /run/systemd/system/cay.service.d && cd /run/systemd/system/cay.service.d && ' +
          'printf "[Service]\\nWatchdogSec=2\\n" > fast.conf && systemctl daemon-reload && systemctl restart cay',
      )
      await restartsAfter(machine, 'STOP')
      match(await machine.run('journalctl', '--unit', 'cay', '--output', 'cat'), /watchdog/i)
      await machine.shell('rm -r /run/systemd/system/cay.service.d')
      match(await machine.run('cay', 'repo', 'list'), /cay\/cay/)
      await machine.run('/root/cay', 'service', 'uninstall')
      await machine.run('rm', '/root/cay')
      await expectOnlyData(machine, before)
    },
  },
}

/** The packages. */
export const packages: Trial = {
  name: 'packages',
  tools: ['nspawn', 'mmdebstrap', 'rpmbuild', 'skopeo'],
  cases: {
    async 'the .deb is installed, upgraded with its data, removed and purged'({ folder, layout }) {
      await using machine = await bootDebian(folder)
      const before = await filesOf(machine)
      await installDeb(machine, folder, '0.0.1')
      await checkUnit(machine, '/usr/lib/systemd/system/cay.service')
      await eventually(() => machine.run('cay', 'health'))
      const password = await machine.run('cay', 'initial-password')
      const target = { address: '127.0.0.1:5000', password, prefix: machine.inNetwork }
      await pushOwnImage(layout, target)
      await machine.shell(
        'bash -n /usr/share/bash-completion/completions/cay && zcat /usr/share/man/man1/cay.1.gz',
      )
      await machine.shell('echo CAY_LOG_LEVEL=debug >> /etc/default/cay')
      const earlier = await mainProcess(machine)
      await installDeb(machine, folder, '0.0.2')
      notEqual(await mainProcess(machine), earlier)
      match(await machine.run('cat', '/etc/default/cay'), /debug/)
      match(await machine.run('cay', 'tag', 'list', 'cay/cay'), /sha256:/)
      await machine.run('dpkg', '--remove', 'cay')
      match(await machine.shell('systemctl is-active cay || true'), /inactive/)
      ok((await filesOf(machine)).includes('/etc/default/cay'))
      match(await machine.run('dpkg', '--purge', 'cay'), /data is kept in \/var\/lib\/cay/)
      await expectOnlyData(machine, before)
      // Installed again, it finds its data.
      await installDeb(machine, folder, '0.0.2')
      match(await machine.run('cay', 'tag', 'list', 'cay/cay'), /sha256:/)
    },
    async 'the .rpm installs files that run'({ folder }) {
      const { rpmbuild = '' } = await bringTools(['rpmbuild'])
      const [platform] = platforms
      if (platform === undefined) return
      const path = await buildRpm(platform, { version: '0.0.1', seconds: sourceSeconds(), folder })
      const rpm = join(rpmbuild, '..', 'rpm')
      const root = join(folder, 'root')
      const install = ['--install', '--root', root, '--nodeps', '--noscripts', '--ignorearch', path]
      await runCommand([rpm, ...install])
      match(await runCommand([join(root, 'usr/bin/cay'), '--version']), /^cay /)
      match(await runCommand([rpm, '--query', '--configfiles', '--root', root, 'cay']), /\/etc\/default\/cay/)
    },
  },
}

async function checkUnit(machine: Machine, path: string): Promise<void> {
  equal(await machine.run('systemd-analyze', 'verify', path), '')
  const threshold = `--threshold=${exposureMax}`
  await machine.run('systemd-analyze', 'security', '--no-pager', threshold, 'cay.service')
}

/** Sends a signal to the server, and waits until systemd has replaced the process. */
async function restartsAfter(machine: Machine, signal: string): Promise<void> {
  const earlier = await mainProcess(machine)
  await machine.shell(`kill -${signal} ${earlier}`)
  await eventually(async () => {
    notEqual(await mainProcess(machine), earlier)
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
  deepEqual(
    added.filter((path) => !/^\/var\/lib\/(private\/cay|cay$)/.test(path)),
    [],
  )
  ok(added.includes('/var/lib/private/cay/cay.db'))
}
