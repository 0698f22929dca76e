import { hostname } from 'node:os'
import type { Config } from '../config/config-schema.ts'
import { parseListenAddress } from '../config/listen-address.ts'
import { authorityPath, findAuthority } from '../tls/authority.ts'
import { certificateNames } from '../tls/certificate-names.ts'
import { applying, install, knownRegistries, uninstall } from '../tls/trust-host.ts'
import { type TrustStep, trustSteps } from '../tls/trust-steps.ts'

export interface TrustOptions {
  install?: boolean
  uninstall?: boolean
  /** Another root folder than `/`. */
  root?: string
  /** `host:port`, with commas between, instead of the configured addresses. */
  registry?: string
}

/** Says how hosts come to trust cay's own authority, or does so on this host. */
export async function trust(config: Config, options: TrustOptions): Promise<number> {
  const authority = await findAuthority(config.data)
  if (authority === undefined)
    throw new Error(`there is no ${authorityPath(config.data)}: cay serve --tls auto makes it`)
  if (options.install && options.uninstall) throw new Error('choose --install or --uninstall')
  const root = options.root ?? '/'
  const registries = options.registry?.split(',').map((name) => name.trim()) ?? registriesOf(config)
  const steps = (more: string[] = []) =>
    trustSteps(process.platform, { ...authority, registries: [...new Set([...registries, ...more])] })
  const report = (line: string) => void process.stdout.write(`${line}\n`)
  report(`authority ${authority.path}\nSHA-256 ${authority.fingerprint}`)
  if (options.install) await install(steps(), { root, report })
  else if (options.uninstall) await uninstall(steps(await knownRegistries(root)), { root, report })
  else {
    report(`\nOn this host, cay trust --install does this:\n${describe(applying(steps(), root))}`)
    report(`\nOn a host without cay:\n${elsewhere(registries[0] ?? 'HOST:PORT', authority.fingerprint)}`)
  }
  if (options.install && root === '/') report('programs that run already know it when they start again')
  return 0
}

/** The names that clients of this host may write: each name of the certificate, with each port. */
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

function describe(steps: TrustStep[]): string {
  return steps
    .filter(({ files, commands }) => files.length > 0 || commands?.install)
    .flatMap(({ name, files, commands }) => [
      `  ${name}`,
      ...files.map(({ path }) => `    write ${path}`),
      ...(commands?.install ? [`    run   ${commands.install.join(' ')}`] : []),
    ])
    .join('\n')
}

/** Lines to copy. The fingerprint must come to the other host by another way than the certificate. */
function elsewhere(registry: string, fingerprint: string): string {
  return `  curl --insecure --output cay.crt https://${registry}/rootCA.pem   # with the name that this host has there
  openssl x509 -in cay.crt -noout -fingerprint -sha256
  # go on only if that says ${fingerprint}
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
