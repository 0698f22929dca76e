/** Runs the container image in every way that the documentation describes, and uses it there. */

import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../../package.json'
import { runCommand } from '../../scripts/lib/command.ts'
import { type Descriptor, makeImage } from '../../scripts/lib/image.ts'
import { eventually } from '../../scripts/lib/repeated.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { downloadPackages } from '../../scripts/packaging/container-image.ts'
import { writeDeployments } from '../../scripts/packaging/release.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { startEngine } from '../clients/homes.ts'
import { expectNoSecret, ownImage, pushLayout, type RootlessPodman, rootlessPodman } from './installation.ts'

/** An emulated start takes ten times as long. */
const emulatedStartSecondsMax = 180

/** How the documentation runs the image, and how it is hardened. */
const runArguments = ['run', '--detach', '--name', 'cay', '--volume', 'cay:/var/lib/cay']
const publish = ['--publish', '127.0.0.1::5000']
const hardened = ['--read-only', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges']

let tools: Awaited<ReturnType<typeof bringTools>>
let layout: string
let image: string
let folder: string
let podman: RootlessPodman
let id: string

beforeAll(async () => {
  tools = await bringTools(['oras', 'skopeo', 'docker', 'qemu-aarch64', 'podman-compose'])
  layout = await ownImage()
  image = `${layout}:${version}`
  folder = await temporary()
  podman = await rootlessPodman(folder)
  // The user of podman cannot enter the cache.
  await runCommand(['cp', '--recursive', layout, join(folder, 'layout')])
  id = await podman.run('pull', '--quiet', `oci:${join(folder, 'layout')}:${version}`)
  await podman.run('tag', id, `cay:${version}`)
})

afterAll(async () => {
  await podman?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

test('image: oras copies it with its SBOMs and its provenance', async () => {
  await using server = await startServer()
  const name = `${server.address}/cay/cay:${version}`
  await runCommand([tools.oras!, 'copy', '--recursive', '--from-oci-layout', '--to-plain-http', image, name])
  const get = async (path: string) =>
    (await server.registry.get(`/v2/cay/cay/${path}`)).json<{ manifests: Descriptor[] }>().manifests
  const images = await get(`manifests/${version}`)
  expect(images).toHaveLength(2)
  for (const { digest } of images) {
    const types = (await get(`referrers/${digest}`)).map(({ artifactType }) => artifactType)
    expect(types.sort()).toEqual(['application/vnd.cyclonedx+json', 'application/vnd.in-toto+json'])
  }
})

test('image: for arm64, it starts, takes a push, and gives it back', async () => {
  await using own = await ownFolder()
  const [copied, root] = [join(own.path, 'image'), join(own.path, 'root')]
  const copy = ['copy', '--quiet', '--override-arch', 'arm64', `oci:${image}`, `dir:${copied}`]
  await runCommand([tools.skopeo!, ...copy])
  const { layers } = JSON.parse(await readFile(join(copied, 'manifest.json'), 'utf8'))
  await runCommand(['mkdir', root])
  for (const { digest } of layers)
    await runCommand([
      'tar',
      '--extract',
      '--gzip',
      '--directory',
      root,
      '--file',
      join(copied, digest.slice(7)),
    ])
  const executable = join(own.path, 'cay')
  const script = `#!/bin/sh\nexec ${tools['qemu-aarch64']} -L ${root} ${root}/usr/bin/cay "$@"\n`
  await writeFile(executable, script, { mode: 0o755 })
  const env = { CAY_CONTAINER: 'true' }
  await using server = await startServer({ executable, env, startSecondsMax: emulatedStartSecondsMax })
  const content = await makeImage({ architecture: 'arm64', layerBytes: 256 * 1024 })
  await server.registry.pushContent('smoke/image', 'latest', content)
  await server.registry.pullContent('smoke/image', 'latest', content)
})

test('podman: rootless with a read-only root, it takes a push of itself, and its volume keeps it', async () => {
  await podman.run(...runArguments, ...publish, ...hardened, id)
  await eventually(() => podman.run('exec', 'cay', 'cay', 'health'))
  expect(await podman.run('top', 'cay', 'user')).toBe('USER\ncay')
  const password = await podman.run('exec', 'cay', 'cay', 'initial-password')
  expectNoSecret(await podman.run('logs', 'cay'), password)
  await pushLayout(layout, { address: await podman.run('port', 'cay', '5000'), password })
  // SIGTERM ends it in time.
  await podman.run('stop', '--time', '20', 'cay')
  expect(await podman.run('logs', 'cay')).toContain('"stopped"')
  await podman.run('rm', 'cay')
  await podman.run(...runArguments, ...publish, ...hardened, id)
  await eventually(() => podman.run('exec', 'cay', 'cay', 'health'))
  const address = await podman.run('port', 'cay', '5000')
  const authorization = `Basic ${btoa(`admin:${password}`)}`
  const url = `http://${address}/v2/cay/cay/manifests/${version}`
  expect((await fetch(url, { headers: { authorization } })).status).toBe(200)
  expect((await fetch(`http://${address}/v2/`)).status).toBe(401)
  await removeAll()
})

test('podman: the first password can be in a file of a secret', async () => {
  await Bun.write(join(folder, 'password'), 'correct-horse-battery\n')
  await podman.run('secret', 'create', 'cay-admin', join(folder, 'password'))
  // A secret's file belongs to root; the option gives it to cay's user. runc cannot mount it into a read-only root.
  const file = 'CAY_ADMIN_PASSWORD_FILE=/run/secrets/cay-admin'
  await podman.run(...runArguments, ...publish, '--secret', 'cay-admin,uid=65532', '--env', file, id)
  await eventually(() => podman.run('exec', 'cay', 'cay', 'health'))
  expect(await podman.run('logs', 'cay')).not.toContain('correct-horse')
  await expectSignIn(await podman.run('port', 'cay', '5000'), 'correct-horse-battery')
  await removeAll()
})

test('compose: the file runs the image rootless', async () => {
  const project = join(folder, 'project')
  await writeFreePort(project, 'compose.yaml')
  const compose = (...args: string[]) =>
    runCommand([tools['podman-compose']!, '--podman-path', podman.path, ...args], { cwd: project })
  await compose('up', '--detach')
  const name = 'project_cay_1'
  await eventually(() => podman.run('exec', name, 'cay', 'health'))
  const password = await podman.run('exec', name, 'cay', 'initial-password')
  expectNoSecret(await podman.run('logs', name), password)
  await expectSignIn(await podman.run('port', name, '5000'), password)
  await compose('down', '--volumes')
})

/** Runs the command that the generator of podman 5 makes; the podman of this Debian has no generator. */
test('quadlet: it runs the image rootless, with its health check', async () => {
  const packages = await downloadPackages('trixie', 'amd64', ['podman', 'libc6'])
  const root = join(folder, 'trixie')
  for await (const name of new Bun.Glob('*.deb').scan(packages))
    await runCommand(['dpkg-deb', '--extract', join(packages, name), root])
  const project = join(folder, 'quadlet')
  await writeFreePort(project, 'cay.container')
  const libraries = join(root, 'usr/lib/x86_64-linux-gnu')
  const loader = [join(libraries, 'ld-linux-x86-64.so.2'), '--library-path', libraries]
  const env = { PATH: process.env.PATH, HOME: folder, QUADLET_UNIT_DIRS: project }
  const unit = await runCommand([...loader, join(root, 'usr/libexec/podman/quadlet'), '-dryrun', '-user'], {
    env,
  })
  const [, args = ''] = /^ExecStart=\S+podman run .* --sdnotify=conmon (.*)$/m.exec(unit) ?? []
  await runCommand(['sh', '-c', `exec ${podman.path} run --name cay ${args}`], { cwd: folder })
  await eventually(() => podman.run('healthcheck', 'run', 'cay'))
  const password = await podman.run('exec', 'cay', 'cay', 'initial-password')
  await expectSignIn(await podman.run('port', 'cay', '5000'), password)
  await removeAll()
})

test('docker: with a read-only root, the image takes a push of itself, and the engine pulls it', async () => {
  await using own = await ownFolder()
  await using engine = await startIsolatedEngine(own.path)
  const run = async (...args: string[]) =>
    (await runCommand([...engine.prefix, tools.docker!, '--host', engine.host, ...args])).trim()
  const copy = ['copy', '--quiet', '--dest-daemon-host', engine.host]
  await runCommand([tools.skopeo!, ...copy, `oci:${image}`, `docker-daemon:cay:${version}`])
  // The terminal of a container is its log.
  await run(...runArguments, '--tty', ...publish, ...hardened, `cay:${version}`)
  await eventually(() => run('exec', 'cay', 'cay', 'health'))
  expect(await run('top', 'cay', '-o', 'pid,uid,comm')).toMatch(/65532 +cay/)
  const password = await run('exec', 'cay', 'cay', 'initial-password')
  expectNoSecret(await run('logs', 'cay'), password)
  const address = await run('port', 'cay', '5000')
  await pushLayout(layout, { address, password, prefix: engine.prefix })
  await run('login', '--username', 'admin', '--password', password, address)
  await run('pull', '--quiet', `${address}/cay/cay:${version}`)
  // Docker calls the health check of the image.
  expect(await run('inspect', '--format', '{{index .Config.Healthcheck.Test 2}}', 'cay')).toBe('health')
  await run('rm', '--force', '--volumes', 'cay')
})

/** Starts an engine in a network of its own, which `prefix` enters. */
async function startIsolatedEngine(home: string) {
  const { env, tearDown } = await startEngine(home, { hasNetwork: true })
  const pid = (await readFile(join(home, 'pid'), 'utf8')).trim()
  const prefix = ['nsenter', '--target', pid, '--net', '--']
  return { host: env.DOCKER_HOST, prefix, [Symbol.asyncDispose]: tearDown }
}

/** Writes what runs the image, and publishes a free port in one of the files. */
async function writeFreePort(project: string, name: string): Promise<void> {
  await writeDeployments(project)
  const file = Bun.file(join(project, name))
  await file.write((await file.text()).replace('127.0.0.1:5000:5000', '127.0.0.1::5000'))
}

async function expectSignIn(address: string, password: string): Promise<void> {
  const authorization = `Basic ${btoa(`admin:${password}`)}`
  expect((await fetch(`http://${address}/v2/_catalog`, { headers: { authorization } })).status).toBe(200)
}

/** Removes the container and its volume. */
async function removeAll(): Promise<void> {
  await podman.run('rm', '--force', '--time', '5', 'cay')
  await podman.run('volume', 'prune', '--force')
}

async function ownFolder() {
  const path = await temporary()
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Creates a folder that everybody can enter. */
async function temporary(): Promise<string> {
  // podman takes only names without capitals.
  const path = `/tmp/cay-installs-${crypto.randomUUID()}`
  await mkdir(path, { mode: 0o755 })
  return path
}
