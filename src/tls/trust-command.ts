import type { Config } from '../config/schema.ts'
import { type HostTrust, hostTrust } from './trust.ts'

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
