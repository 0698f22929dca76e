import { equal, match } from 'node:assert/strict'
import { join } from 'node:path'
import { version } from '../../package.json'
import { startEngine } from '../../test/clients/homes.ts'
import { runCommand } from '../lib/command.ts'
import { eventually } from '../lib/repeated.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { rootlessPodman } from './rootless-podman.ts'
import { expectNoSecret, imageIn, pushOwnImage, type Trial } from './trial.ts'

/** How the README runs the image, and how it is hardened. */
const runArguments = ['run', '--detach', '--name', 'cay', '--volume', 'cay:/var/lib/cay']
const publish = ['--publish', '127.0.0.1::5000']
const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges']

/** podman for a user without privileges. */
export const podman: Trial = {
  name: 'podman',
  tools: ['podman', 'skopeo'],
  cases: {
    async 'the image runs rootless with a read-only root, and takes a push of itself'({ folder, layout }) {
      await using podman = await rootlessPodman(folder)
      const id = await podman.run('pull', '--quiet', `oci:${imageIn(layout)}`)
      await podman.run(...runArguments, ...publish, ...hardened, id)
      await eventually(() => podman.run('exec', 'cay', 'cay', 'health'))
      equal(await podman.run('top', 'cay', 'user'), 'USER\ncay')
      const password = await podman.run('exec', 'cay', 'cay', 'initial-password')
      expectNoSecret(await podman.run('logs', 'cay'), password)
      await pushOwnImage(layout, { address: await podman.run('port', 'cay', '5000'), password })
      // The volume keeps the content when the container is replaced, and SIGTERM ends it in time.
      await podman.run('stop', '--time', '20', 'cay')
      match(await podman.run('logs', 'cay'), /"stopped"/)
      await podman.run('rm', 'cay')
      await podman.run(...runArguments, ...publish, ...hardened, id)
      await eventually(() => podman.run('exec', 'cay', 'cay', 'health'))
      const address = await podman.run('port', 'cay', '5000')
      const response = await fetch(`http://${address}/v2/cay/cay/manifests/${version}`, {
        headers: { authorization: `Basic ${Buffer.from(`admin:${password}`).toString('base64')}` },
      })
      equal(response.status, 200)
      equal((await fetch(`http://${address}/v2/`)).status, 401)
    },
    async 'the first password can be in a file of a secret'({ folder, layout }) {
      await using podman = await rootlessPodman(folder)
      const id = await podman.run('pull', '--quiet', `oci:${imageIn(layout)}`)
      await Bun.write(join(folder, 'password'), 'correct-horse-battery\n')
      await podman.run('secret', 'create', 'cay-admin', join(folder, 'password'))
      // A secret's file belongs to root; the option gives it to cay's user. runc cannot mount it into a read-only root.
      const file = 'CAY_ADMIN_PASSWORD_FILE=/run/secrets/cay-admin'
      const secret = ['--secret', 'cay-admin,uid=65532', '--env', file]
      await podman.run(...runArguments, ...publish, ...secret, id)
      await eventually(() => podman.run('exec', 'cay', 'cay', 'health'))
      equal((await podman.run('logs', 'cay')).includes('correct-horse'), false)
      const address = await podman.run('port', 'cay', '5000')
      await pushOwnImage(layout, { address, password: 'correct-horse-battery' })
    },
  },
}

/** An engine of Docker. */
export const docker: Trial = {
  name: 'docker',
  tools: ['docker', 'dockerd', 'skopeo'],
  cases: {
    async 'the image runs with a read-only root, and takes a push of itself'({ folder, layout }) {
      const { docker = '', skopeo = '' } = await bringTools(['docker', 'skopeo'])
      await using engine = await startIsolatedEngine(folder)
      const run = async (...args: string[]) =>
        (await runCommand([...engine.prefix, docker, '--host', engine.host, ...args])).trim()
      const copy = ['copy', '--quiet', '--dest-daemon-host', engine.host]
      await runCommand([skopeo, ...copy, `oci:${imageIn(layout)}`, `docker-daemon:cay:${version}`])
      // The terminal of a container is its log.
      await run(...runArguments, '--tty', ...publish, ...hardened, `cay:${version}`)
      await eventually(() => run('exec', 'cay', 'cay', 'health'))
      match(await run('top', 'cay', '-o', 'pid,uid,comm'), /65532 +cay/)
      const password = await run('exec', 'cay', 'cay', 'initial-password')
      expectNoSecret(await run('logs', 'cay'), password)
      const address = await run('port', 'cay', '5000')
      await pushOwnImage(layout, { address, password, prefix: engine.prefix })
      // The engine itself pulls what it runs.
      await run('login', '--username', 'admin', '--password', password, address)
      await run('pull', '--quiet', `${address}/cay/cay:${version}`)
      // Docker calls the health check of the image.
      equal(await run('inspect', '--format', '{{index .Config.Healthcheck.Test 2}}', 'cay'), 'health')
      await run('rm', '--force', '--volumes', 'cay')
    },
  },
}

/** Starts an engine in a network of its own, which `prefix` enters. */
async function startIsolatedEngine(folder: string) {
  const engine = await startEngine(folder, { hasNetwork: true })
  const pid = (await Bun.file(`${folder}/pid`).text()).trim()
  const prefix = ['nsenter', '--target', pid, '--net', '--']
  return { host: engine.env.DOCKER_HOST, prefix, [Symbol.asyncDispose]: engine.tearDown }
}
