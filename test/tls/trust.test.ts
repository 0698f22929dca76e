import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openAuthority } from '../../src/tls/tls.ts'
import { trustSteps } from '../../src/tls/trust.ts'
import { runCay } from '../support/run-cay.ts'

describe('cay trust', () => {
  let data: TemporaryFolder
  let root: TemporaryFolder
  let certificate: string
  let id: string
  beforeAll(async () => {
    await build()
    data = await temporaryFolder('data')
    certificate = (await openAuthority(data.path, { hostname: 'box', addresses: [], named: [] }, Date.now()))
      .certificate
    id = new X509Certificate(certificate).fingerprint256.replaceAll(':', '').slice(0, 12).toLowerCase()
  }, 60_000)
  afterAll(() => data[Symbol.asyncDispose]())
  beforeEach(async () => {
    root = await temporaryFolder('root')
  })
  afterEach(() => root[Symbol.asyncDispose]())

  const trust = (...args: string[]) => runCay(['trust', '--data', data.path, ...args])
  const onRegistry = ['--registry', 'registry.example:5000']
  const make = (...folders: string[]) => {
    for (const folder of folders) mkdirSync(join(root.path, folder), { recursive: true })
  }
  const debian = () => {
    make('etc')
    writeFileSync(join(root.path, 'etc/ca-certificates.conf'), '')
  }
  const files = () =>
    readdirSync(root.path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name).slice(root.path.length))
      .sort()
  const read = (path: string) => readFileSync(join(root.path, path), 'utf8')

  test('Debian: installs the certificate as a local one and runs the command', async () => {
    debian()
    const path = `/usr/local/share/ca-certificates/cay-${id}.crt`
    const installed = await trust('--install', '--root', root.path)
    expect(installed).toMatchObject({ code: 0, errors: '' })
    expect(installed.output).toContain(`wrote ${root.path}${path}\n`)
    expect(installed.output).toContain(`not run, because the root is ${root.path}: update-ca-certificates\n`)
    expect(files()).toEqual(['/etc/ca-certificates.conf', path])
    expect(read(path)).toBe(certificate)
    expect(statSync(join(root.path, path)).mode & 0o777).toBe(0o644)
    const removed = await trust('--uninstall', '--root', root.path)
    expect(removed.output).toContain(
      `not run, because the root is ${root.path}: update-ca-certificates --fresh\n`,
    )
    expect(files()).toEqual(['/etc/ca-certificates.conf'])
  })

  test("Debian's Java store: --uninstall removes the certificate by its alias", async () => {
    debian()
    make('etc/ca-certificates/update.d')
    writeFileSync(join(root.path, 'etc/ca-certificates/update.d/jks-keystore'), '')
    const hook = `echo -/etc/ssl/certs/cay-${id}.pem | /etc/ca-certificates/update.d/jks-keystore`
    const installed = await trust('--install', '--root', root.path)
    expect(installed.output).not.toContain('jks-keystore')
    const removed = await trust('--uninstall', '--root', root.path)
    expect(removed.output).toMatch(/update-ca-certificates --fresh\n.*jks-keystore\n/)
    expect(removed.output).toContain(`not run, because the root is ${root.path}: sh -c ${hook}\n`)
  })

  test('Red Hat: installs the certificate as an anchor and runs the command', async () => {
    make('etc/pki/ca-trust/source/anchors')
    const path = `/etc/pki/ca-trust/source/anchors/cay-${id}.crt`
    const installed = await trust('--install', '--root', root.path)
    expect(installed.output).toContain(`not run, because the root is ${root.path}: update-ca-trust extract\n`)
    expect(files()).toEqual([path])
    expect(read(path)).toBe(certificate)
    await trust('--uninstall', '--root', root.path)
    expect(files()).toEqual([])
  })

  test('Docker, podman and containerd: installs the certificate for each name of the registry', async () => {
    make('etc/docker', 'etc/containers', 'etc/containerd')
    await trust('--install', '--root', root.path, '--registry', 'localhost:5000,registry.example')
    expect(files()).toEqual([
      '/etc/containerd/certs.d/localhost:5000/ca.crt',
      '/etc/containerd/certs.d/localhost:5000/hosts.toml',
      '/etc/containerd/certs.d/registry.example/ca.crt',
      '/etc/containerd/certs.d/registry.example/hosts.toml',
      '/etc/containers/certs.d/localhost:5000/ca.crt',
      '/etc/containers/certs.d/registry.example/ca.crt',
      '/etc/docker/certs.d/localhost:5000/ca.crt',
      '/etc/docker/certs.d/registry.example/ca.crt',
    ])
    const shown = new X509Certificate(read('/etc/docker/certs.d/localhost:5000/ca.crt'))
    expect(shown.fingerprint256).toBe(new X509Certificate(certificate).fingerprint256)
    expect(Bun.TOML.parse(read('/etc/containerd/certs.d/localhost:5000/hosts.toml'))).toEqual({
      server: 'https://localhost:5000',
      host: { 'https://localhost:5000': { ca: '/etc/containerd/certs.d/localhost:5000/ca.crt' } },
    })
    await trust('--uninstall', '--root', root.path)
    expect(files()).toEqual([])
    expect(readdirSync(join(root.path, 'etc/docker'))).toEqual([])
  })

  test('keeps files that it did not write', async () => {
    make('etc/docker/certs.d/registry.example:5000')
    writeFileSync(join(root.path, 'etc/docker/certs.d/registry.example:5000/ca.crt'), 'mine\n')
    const installed = await trust('--install', '--root', root.path, ...onRegistry)
    expect(installed).toMatchObject({ code: 0, output: expect.stringContaining('it was not written by cay') })
    await trust('--uninstall', '--root', root.path, ...onRegistry)
    expect(read('/etc/docker/certs.d/registry.example:5000/ca.crt')).toBe('mine\n')
  })

  test('without a flag, writes nothing and prints what it would do, and what to do on other hosts', async () => {
    debian()
    const { code, output } = await trust('--root', root.path, ...onRegistry)
    expect(code).toBe(0)
    expect(files()).toEqual(['/etc/ca-certificates.conf'])
    const { fingerprint256 } = new X509Certificate(certificate)
    expect(output).toContain(`SHA-256 ${fingerprint256}\n`)
    expect(output).toContain(`write /usr/local/share/ca-certificates/cay-${id}.crt\n`)
    expect(output).toMatch(
      new RegExp(`^On this host, (sudo )?/\\S+ trust --install --data ${data.path} will do this:$`, 'm'),
    )
    expect(output).toContain(
      'curl --insecure --silent --show-error --output cay.crt https://registry.example:5000/rootCA.pem',
    )
    expect(output).toContain(`continue only if this prints ${fingerprint256}\n`)
    expect(output).not.toContain('PRIVATE')
  })

  test('refuses a folder without an authority, and both flags at once', async () => {
    const none = await runCay(['trust', '--data', root.path])
    expect([none.code, none.errors]).toEqual([
      1,
      `cay: ${root.path}/tls/rootCA.pem not found: cay serve --tls auto creates it\n`,
    ])
    expect((await trust('--install', '--uninstall')).code).toBe(1)
  })

  test('macOS and Windows: each needs one command', () => {
    const subject = { path: '/d/tls/rootCA.pem', certificate, registries: ['a:1'] }
    const commands = (platform: string) =>
      trustSteps(platform, subject).map(({ files, commands }) => [files, commands?.install?.join(' ')])
    expect(commands('darwin')).toEqual([
      [
        [],
        'security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain /d/tls/rootCA.pem',
      ],
    ])
    expect(commands('win32')).toEqual([[[], 'certutil -addstore -f Root /d/tls/rootCA.pem']])
  })
})
