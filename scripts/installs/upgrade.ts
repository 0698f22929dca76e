import { deepEqual, match, ok, rejects } from 'node:assert/strict'
import { cp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { migrations } from '../../src/database/migrations.ts'
import { fixtureContent } from '../../test/support/fixture-content.ts'
import { build } from '../build.ts'
import { runCommand } from '../lib/command.ts'
import { eventually } from '../lib/repeated.ts'
import { bootDebian, type Machine } from './debian-machine.ts'
import { installDeb } from './debian-package.ts'
import { pushOwnImage, type Trial } from './trial.ts'

const repository = join(import.meta.dir, '..', '..')
const fixtures = join(repository, 'test', 'fixtures')
const data = '/var/lib/private/cay'

/** Upgrades under the unit, of data folders of earlier versions. */
export const upgrade: Trial = {
  name: 'upgrade',
  tools: ['nspawn', 'mmdebstrap', 'skopeo'],
  cases: {
    async 'a data folder of each released schema is upgraded under the unit, and its copy is upgraded again'({
      folder,
    }) {
      await using machine = await bootDebian(folder)
      await installDeb(machine, folder, '0.0.2', await build())
      await machine.run('systemctl', 'stop', 'cay')
      await machine.shell('echo CAY_ACCESS=open >> /etc/default/cay')
      // A folder of the newest schema needs no upgrade.
      const isOlder = (name: string) => name.startsWith('data-') && Number(name.slice(-4)) < migrations.length
      const names = (await readdir(fixtures)).filter(isOlder).sort()
      ok(names.length > 0)
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
    },
    async 'the package before the newest schema is upgraded with its data, and back by the copy'({
      folder,
      layout,
    }) {
      await using earlier = await earlierVersion()
      await using machine = await bootDebian(folder)
      // Versions before the unit do not report readiness.
      const dropIn = '/run/systemd/system/cay.service.d'
      await machine.shell(
        `mkdir -p ${dropIn} && printf '[Service]\\nType=exec\\nWatchdogSec=0\\n' > ${dropIn}/old.conf`,
      )
      await installDeb(machine, folder, '0.0.1', earlier.executable)
      await eventually(() => machine.run('cay', 'health'))
      const password = await machine.run('cat', `${data}/initial-admin-password`)
      const target = { address: '127.0.0.1:5000', password, prefix: machine.inNetwork }
      await pushOwnImage(layout, target)
      await machine.run('rm', '-r', dropIn)
      await installDeb(machine, folder, '0.0.2', await build())
      match(await machine.run('cay', 'tag', 'list', 'cay/cay'), /sha256:/)
      // It can be pushed again, and pulled with the same bytes.
      await pushOwnImage(layout, target)
      await machine.run('systemctl', 'stop', 'cay')
      await machine.shell(
        `mkdir -p ${dropIn} && printf '[Service]\\nType=exec\\nWatchdogSec=0\\n' > ${dropIn}/old.conf`,
      )
      // The earlier version refuses the newer database, and takes the copy.
      await installDeb(machine, folder, '0.0.1', earlier.executable)
      await rejects(eventually(() => machine.run('cay', 'health'), 3))
      await machine.run('systemctl', 'stop', 'cay')
      await putCopyBack(machine, earlier.migrations)
      await machine.run('systemctl', 'start', 'cay')
      await eventually(() => machine.run('cay', 'health'))
      await pushOwnImage(layout, target)
    },
  },
}

/** Replaces the database by the copy of before the upgrade from a schema, as the README says. */
async function putCopyBack(machine: Machine, migrations: number): Promise<void> {
  await machine.shell(
    `cd ${data} && mv cay.db.before-${migrations} cay.db && rm --force cay.db-wal cay.db-shm`,
  )
}

/** Expects every blob and tag of a fixture. */
async function expectContent(machine: Machine): Promise<void> {
  const { blobs } = fixtureContent()
  for (const { repository: name, digest, bytes } of blobs) {
    const url = `http://127.0.0.1:5000/v2/${name}/blobs/${digest}`
    const pulled = Bun.spawn([...machine.inNetwork, 'curl', '--silent', '--fail', url], { stdout: 'pipe' })
    deepEqual(await pulled.stdout.bytes(), new Uint8Array(bytes))
  }
  match(await machine.run('cay', 'tag', 'list', 'library/app'), /latest[\s\S]*v1/)
}

/** Builds the version before the newest migration from the history. `await using` removes its sources. */
async function earlierVersion() {
  const git = (...args: string[]) => runCommand(['git', ...args], { cwd: repository })
  const newest = (await git('log', '-1', '--format=%H', '--', 'drizzle/*.sql')).trim()
  const folder = join(repository, 'dist', 'earlier')
  const remove = async () => void (await git('worktree', 'remove', '--force', folder))
  await git('worktree', 'add', '--force', '--detach', folder, `${newest}^`)
  try {
    await runCommand([process.execPath, 'scripts/main.ts', 'build'], { cwd: folder })
    const migrations = (await readdir(join(folder, 'drizzle'))).filter((name) => name.endsWith('.sql')).length
    return { executable: join(folder, 'dist', 'cay'), migrations, [Symbol.asyncDispose]: remove }
  } catch (error) {
    await remove()
    throw error
  }
}
