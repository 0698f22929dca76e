import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rm, rmdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { parseListenAddress } from '../config/values.ts'
import type { Authority } from '../http/listener.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import { authorityPath, certificateNames, findAuthority } from './tls.ts'

export interface TrustOptions {
  install?: boolean
  uninstall?: boolean
  /** The root folder, if not `/`. */
  root?: string
  /** `HOST:PORT,...`, instead of the configured addresses. */
  registry?: string
}

/** Installs cay's own authority on this host, uninstalls it, or prints how hosts can trust it. */
export async function trust(config: Config, options: TrustOptions): Promise<number> {
  const root = options.root ?? '/'
  const report = (line: string) => void process.stdout.write(`${line}\n`)
  const named = options.registry?.split(',').map((name) => name.trim())
  const { authority, registries, steps, install, uninstall } = await hostTrust(config, {
    root,
    report,
    registries: named,
  })
  if (options.install && options.uninstall) throw new Error('--install and --uninstall cannot be combined')
  report(`authority ${authority.path}\nSHA-256 ${authority.fingerprint}`)
  if (options.install) await install()
  else if (options.uninstall) await uninstall()
  else {
    report(`\nOn this host, ${installCommand(config)} will do this:\n${describe(steps)}`)
    report(
      `\nOn a host without cay:\n${elsewhere(nameForOthers(registries, config.host), authority.fingerprint)}`,
    )
  }
  if (options.install && root === '/') report('restart running programs, so that they trust it')
  return 0
}

/** Returns the name by which another host likely knows this one: a configured one, or the host's own. */
function nameForOthers(registries: readonly string[], [host = '']: readonly string[]): string {
  const isLocal = (name: string) => /^(localhost|127\.)/.test(name)
  return (
    registries.find((name) => host !== '' && name.startsWith(host)) ??
    registries.find((name) => !isLocal(name)) ??
    'HOST:PORT'
  )
}

/** Returns a command that works for the administrator of this host too, whose search path and data folder are others. */
function installCommand({ data }: Config): string {
  const sudo = process.platform === 'win32' || process.getuid?.() === 0 ? '' : 'sudo '
  return `${sudo}${process.execPath} trust --install --data ${data}`
}

function describe(steps: HostTrust['steps']): string {
  return steps
    .filter(({ files, commands }) => files.length > 0 || commands?.install)
    .flatMap(({ name, files, commands }) => [
      `  ${name}`,
      ...files.map(({ path }) => `    write ${path}`),
      ...(commands?.install ? [`    run   ${commands.install.join(' ')}`] : []),
    ])
    .join('\n')
}

/** Returns commands to copy. The fingerprint must reach the other host by another way than the certificate. */
function elsewhere(registry: string, fingerprint: string): string {
  return `  curl --insecure --silent --show-error --output cay.crt https://${registry}/rootCA.pem   # use the name by which that host knows this one
  openssl x509 -in cay.crt -noout -fingerprint -sha256
  # continue only if this prints ${fingerprint}
  # Debian, Ubuntu, Alpine
  sudo cp cay.crt /usr/local/share/ca-certificates/cay.crt && sudo update-ca-certificates
  # Red Hat, Fedora
  sudo cp cay.crt /etc/pki/ca-trust/source/anchors/cay.crt && sudo update-ca-trust extract
  # only Docker, or only podman (/etc/containers)
  sudo install -D cay.crt /etc/docker/certs.d/${registry}/ca.crt
  # macOS
  sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain cay.crt
  # Windows, as administrator
  certutil -addstore -f Root cay.crt`
}

/** How to make a host trust cay's own authority. */
interface HostTrust {
  authority: Authority
  /** The names that clients may use, as `host:port`. */
  registries: string[]
  /** The steps that apply to the host. */
  steps: TrustStep[]
  /** Runs the steps. Throws when a file cannot be written or a command fails. */
  install(): Promise<void>
  /** Undoes `install`. Files that others have changed stay. */
  uninstall(): Promise<void>
}

/**
 * Returns the steps that make a host trust the authority of a data folder. Throws when there is no authority.
 *
 * @param options.registries used instead of the configured addresses
 */
async function hostTrust(
  config: Config,
  options: TrustHost & { registries: string[] | undefined },
): Promise<HostTrust> {
  const authority = await findAuthority(config.data)
  if (authority === undefined)
    throw new Error(`${authorityPath(config.data)} not found: cay serve --tls auto creates it`)
  const registries = options.registries ?? registriesOf(config)
  const steps = (more: string[] = []) =>
    trustSteps(process.platform, { ...authority, registries: [...new Set([...registries, ...more])] })
  return {
    authority,
    registries,
    steps: applying(steps(), options.root),
    install: () => install(steps(), options),
    uninstall: async () => await uninstall(steps(await knownRegistries(options.root)), options),
  }
}

/** Returns the names that clients may use: each name in the certificate with each port. */
function registriesOf({ listen, host }: Config): string[] {
  const { dns } = certificateNames({ hostname: hostname(), addresses: [], named: host })
  const addresses = host.filter((name) => !dns.includes(name.toLowerCase()) && !name.includes(':'))
  const names = [...dns.filter((name) => !name.startsWith('*')), '127.0.0.1', ...addresses]
  const ports = [...new Set(listen.map((address) => parseListenAddress(address).port))]
  return ports.flatMap((port) => {
    if (port === 0) return []
    return names.flatMap((name) => (port === 443 ? [name, `${name}:443`] : [`${name}:${port}`]))
  })
}

/** Where steps are done, and where they are reported. */
interface TrustHost {
  /** `/`, or another folder. Commands run only for `/`. */
  root: string
  /** Called with one line for each action. */
  report: (line: string) => void
}

/**
 * Makes this host trust an authority: writes the files of each applicable step and runs its command.
 *
 * @throws Error when a file cannot be written, or a command fails
 */
async function install(steps: TrustStep[], host: TrustHost): Promise<void> {
  for (const step of applying(steps, host.root)) {
    for (const file of step.files) await writeFile(file, host)
    if (step.commands?.install) await run(step.commands.install, host)
  }
}

/**
 * Undoes `install`. Files that others have changed stay.
 *
 * @throws Error when a file cannot be removed, or a command fails
 */
async function uninstall(steps: TrustStep[], host: TrustHost): Promise<void> {
  for (const step of applying(steps, host.root)) {
    for (const file of step.files) await removeFile(file, host)
    if (step.commands) await run(step.commands.uninstall, host)
  }
}

/** Returns the steps that apply to a root folder. */
function applying(steps: TrustStep[], root: string): TrustStep[] {
  return steps.filter(({ sign }) => sign === undefined || existsSync(join(root, sign)))
}

/** Returns the registries, as `host:port`, that a client on this host has a folder for. */
async function knownRegistries(root: string): Promise<string[]> {
  const folders = ['/etc/docker/certs.d', '/etc/containers/certs.d', '/etc/containerd/certs.d']
  const found = await Promise.all(folders.map((folder) => readdir(join(root, folder)).catch(() => [])))
  return [...new Set(found.flat())]
}

async function writeFile({ path, text }: TrustFile, { root, report }: TrustHost): Promise<void> {
  const target = join(root, path)
  const present = await findText(target)
  if (present !== undefined && present !== text && !present.startsWith(TRUST_MARK)) {
    report(`kept ${target}: it was not written by cay`)
    return
  }
  try {
    await mkdir(dirname(target), { recursive: true, mode: 0o755 })
    await writeDurably(target, text, 0o644)
  } catch (error) {
    throw new Error(`cannot write ${target}: ${(error as Error).message}; run this command as root`)
  }
  report(`wrote ${target}`)
}

async function removeFile({ path, text }: TrustFile, { root, report }: TrustHost): Promise<void> {
  const target = join(root, path)
  if ((await findText(target)) !== text) return
  try {
    await rm(target)
  } catch (error) {
    throw new Error(`cannot remove ${target}: ${(error as Error).message}; run this command as root`)
  }
  report(`removed ${target}`)
  if (!path.includes('/certs.d/')) return
  await rmdir(dirname(target)).catch(ignore)
  await rmdir(dirname(dirname(target))).catch(ignore)
}

async function run(command: string[], { root, report }: TrustHost): Promise<void> {
  const line = command.join(' ')
  if (root !== '/') {
    report(`not run, because the root is ${root}: ${line}`)
    return
  }
  const child = Bun.spawn(command, { stdin: 'inherit', stdout: 'pipe', stderr: 'pipe' })
  const [output, errors, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${line} failed with exit code ${code}: ${(errors || output).trim()}`)
  report(`ran ${line}`)
}

/** Ignores the error of a folder that is not empty. */
function ignore(): void {}

/** Something on a host that can be made to trust an authority. */
interface TrustStep {
  /** The name shown to people, such as `Debian` or `Docker`. */
  name: string
  /** A path below the root folder that exists if the step applies. Without one, it always applies. */
  sign?: string
  files: TrustFile[]
  /** The commands that make the program read the files, or forget them, if it needs any. */
  commands: { install?: string[]; uninstall: string[] } | undefined
}

interface TrustFile {
  /** Absolute. */
  path: string
  text: string
}

interface TrustSubject {
  /** The file with the authority's certificate, and its PEM text. */
  path: string
  certificate: string
  /** The registry's names as clients write them, as `host:port`. */
  registries: string[]
}

/** The first line of files with a common name, which identifies those that cay wrote. */
const TRUST_MARK = '# Made by cay trust\n'

/** Returns every place where programs of a platform, named as in `process.platform`, look for authorities. */
export function trustSteps(platform: string, subject: TrustSubject): TrustStep[] {
  if (platform === 'darwin') return [keychain(subject)]
  if (platform === 'win32') return [windowsStore(subject)]
  return [
    systemStore('Debian, Ubuntu, Alpine', subject, {
      sign: '/etc/ca-certificates.conf',
      folder: '/usr/local/share/ca-certificates',
      install: ['update-ca-certificates'],
      uninstall: ['update-ca-certificates', '--fresh'],
    }),
    javaStore(subject),
    systemStore('Red Hat, Fedora', subject, {
      sign: '/etc/pki/ca-trust/source/anchors',
      folder: '/etc/pki/ca-trust/source/anchors',
      install: ['update-ca-trust', 'extract'],
      uninstall: ['update-ca-trust', 'extract'],
    }),
    certsFolder('Docker', '/etc/docker', subject),
    certsFolder('podman, skopeo, buildah', '/etc/containers', subject),
    containerd(subject),
  ]
}

function systemStore(
  name: string,
  { certificate }: TrustSubject,
  store: { sign: string; folder: string; install: string[]; uninstall: string[] },
): TrustStep {
  const { sign, folder, install, uninstall } = store
  const path = `${folder}/${nameOf(certificate)}.crt`
  return { name, sign, files: [{ path, text: certificate }], commands: { install, uninstall } }
}

/** update-ca-certificates adds to Debian's Java store but does not remove from it, so this step does. */
function javaStore({ certificate }: TrustSubject): TrustStep {
  const sign = '/etc/ca-certificates/update.d/jks-keystore'
  const recordEvent = `echo -/etc/ssl/certs/${nameOf(certificate)}.pem | ${sign}`
  return { name: 'Java', sign, files: [], commands: { uninstall: ['sh', '-c', recordEvent] } }
}

/** Returns the name of a certificate's files, without an extension. */
function nameOf(certificate: string): string {
  const fingerprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase()
  return `cay-${fingerprint.slice(0, 12)}`
}

function certsFolder(name: string, sign: string, { certificate, registries }: TrustSubject): TrustStep {
  const files = registries.map((registry) => ({
    path: `${sign}/certs.d/${registry}/ca.crt`,
    text: TRUST_MARK + certificate,
  }))
  return { name, sign, files, commands: undefined }
}

function containerd(subject: TrustSubject): TrustStep {
  const step = certsFolder('containerd', '/etc/containerd', subject)
  const hosts = subject.registries.map((registry) => {
    const folder = `/etc/containerd/certs.d/${registry}`
    const url = `https://${registry}`
    const text = `${TRUST_MARK}server = "${url}"\n\n[host."${url}"]\n  ca = "${folder}/ca.crt"\n`
    return { path: `${folder}/hosts.toml`, text }
  })
  return { ...step, files: [...step.files, ...hosts] }
}

function keychain({ path }: TrustSubject): TrustStep {
  const add = ['security', 'add-trusted-cert', '-d', '-r', 'trustRoot', '-k']
  return {
    name: 'macOS',
    files: [],
    commands: {
      install: [...add, '/Library/Keychains/System.keychain', path],
      uninstall: ['security', 'remove-trusted-cert', '-d', path],
    },
  }
}

function windowsStore({ path, certificate }: TrustSubject): TrustStep {
  const sha1 = new X509Certificate(certificate).fingerprint.replaceAll(':', '')
  return {
    name: 'Windows',
    files: [],
    commands: {
      install: ['certutil', '-addstore', '-f', 'Root', path],
      uninstall: ['certutil', '-delstore', 'Root', sha1],
    },
  }
}
