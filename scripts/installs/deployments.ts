import { deepEqual, match, rejects } from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { eventually } from '../lib/repeated.ts'
import { startServer } from '../lib/server.ts'
import { downloadPackages } from '../packaging/debian-packages.ts'
import { writeDeployments } from '../packaging/deployments.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { writeSchemas } from './kubernetes-schemas.ts'
import { rootlessPodman } from './rootless-podman.ts'
import { expectNoSecret, imageIn, pushOwnImage, type Trial } from './trial.ts'

/** The chart, the manifests and the lines for Compose. */
export const deployments: Trial = {
  name: 'deployments',
  tools: ['helm4', 'kubeconform', 'podman', 'podman-compose', 'skopeo'],
  cases: {
    async 'manifests follow the schemas of Kubernetes, and so does the chart with each setting'({ folder }) {
      const { kubeconform = '', helm4 = '' } = await bringTools(['kubeconform', 'helm4'])
      const chart = await writeDeployments(join(folder, 'made'))
      const schemas = await writeSchemas(join(folder, 'schemas'))
      const check = [kubeconform, '-strict', '-summary', '-schema-location', schemas]
      const made = ['kubernetes.yaml', 'servicemonitor.yaml'].map((name) => join(folder, 'made', name))
      match(await runCommand([...check, ...made]), /Valid: 3, Invalid: 0, Errors: 0, Skipped: 0/)
      for (const chosen of settings) {
        const set = chosen.flatMap((one) => ['--set', one])
        const input = await runCommand([helm4, 'template', 'cay', chart, ...set])
        match(await runCommand([...check, '-'], { input }), /Invalid: 0, Errors: 0, Skipped: 0/)
      }
      // A check that cannot fail proves nothing.
      const wrong = (await Bun.file(made[0] ?? '').text()).replace('serviceName:', 'serviceNam:')
      await rejects(runCommand([...check, '-'], { input: wrong }), /serviceNam/)
    },
    async 'helm lints the chart, pushes it to cay, and pulls the same'({ folder }) {
      const { helm4 = '' } = await bringTools(['helm4'])
      const chart = await writeDeployments(join(folder, 'made'))
      const env = { PATH: process.env.PATH, HOME: folder }
      const helm = (...args: string[]) => runCommand([helm4, ...args], { env, cwd: folder })
      await helm('lint', '--strict', chart)
      await using server = await startServer()
      const charts = `oci://${server.address}/charts`
      await helm('push', chart, charts, '--plain-http')
      await mkdir(join(folder, 'pulled'))
      await helm('pull', `${charts}/cay`, '--version', version, '--plain-http', '--destination', 'pulled')
      deepEqual(
        await Bun.file(join(folder, 'pulled', `cay-${version}.tgz`)).bytes(),
        await Bun.file(chart).bytes(),
      )
    },
    async 'Compose runs the image rootless'({ folder, layout }) {
      const { 'podman-compose': command = '' } = await bringTools(['podman-compose'])
      await using podman = await rootlessPodman(folder)
      const id = await podman.run('pull', '--quiet', `oci:${imageIn(layout)}`)
      await podman.run('tag', id, `cay:${version}`)
      const project = join(folder, 'project')
      await writeDeployments(project)
      // The file as it is, but with a port that is free.
      const file = join(project, 'compose.yaml')
      const text = await Bun.file(file).text()
      await Bun.write(file, text.replace('127.0.0.1:5000:5000', '127.0.0.1::5000'))
      const compose = (...args: string[]) =>
        runCommand([command, '--podman-path', podman.path, ...args], { cwd: project })
      await compose('up', '--detach')
      const name = 'project_cay_1'
      await eventually(() => podman.run('exec', name, 'cay', 'health'))
      const password = await podman.run('exec', name, 'cay', 'initial-password')
      expectNoSecret(await podman.run('logs', name), password)
      await pushOwnImage(layout, { address: await podman.run('port', name, '5000'), password })
      await compose('down', '--volumes')
    },
    /** Runs the command that the generator of podman 5 makes; the podman of this Debian has no generator. */
    async 'a Quadlet runs the image rootless, with its health check'({ folder, layout }) {
      const packages = await downloadPackages('trixie', 'amd64', ['podman', 'libc6'])
      const root = join(folder, 'trixie')
      for await (const name of new Bun.Glob('*.deb').scan(packages)) {
        await runCommand(['dpkg-deb', '--extract', join(packages, name), root])
      }
      const project = join(folder, 'project')
      await writeDeployments(project)
      const libraries = join(root, 'usr/lib/x86_64-linux-gnu')
      const loader = [join(libraries, 'ld-linux-x86-64.so.2'), '--library-path', libraries]
      const env = { PATH: process.env.PATH, HOME: folder, QUADLET_UNIT_DIRS: project }
      const generator = [...loader, join(root, 'usr/libexec/podman/quadlet'), '-dryrun', '-user']
      const unit = await runCommand(generator, { env })
      const [, args = ''] = /^ExecStart=\S+podman run .* --sdnotify=conmon (.*)$/m.exec(unit) ?? []
      await using podman = await rootlessPodman(folder)
      const id = await podman.run('pull', '--quiet', `oci:${imageIn(layout)}`)
      await podman.run('tag', id, `localhost/cay:${version}`)
      const free = args.replace('127.0.0.1:5000:5000', '127.0.0.1::5000')
      await runCommand(['sh', '-c', `exec ${podman.path} run --name cay ${free}`], { cwd: folder })
      await eventually(() => podman.run('healthcheck', 'run', 'cay'))
      const password = await podman.run('exec', 'cay', 'cay', 'initial-password')
      await pushOwnImage(layout, { address: await podman.run('port', 'cay', '5000'), password })
    },
  },
}

/** Settings of the chart that together use every template. */
const settings = [
  [],
  ['admin.password=secret', 'config=listen = []', 'env.CAY_LOG_LEVEL=debug', 'podAnnotations.a=b'],
  [
    'tls.existingSecret=tls',
    'ingress.enabled=true',
    'ingress.tlsSecret=tls',
    'externalUrl=https://a.example',
  ],
  ['serviceMonitor.enabled=true', 'serviceMonitor.tokenSecret=token', 'persistence.storageClass=fast'],
]
