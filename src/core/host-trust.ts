import { hostname } from 'node:os'
import type { Config } from '../config/config-schema.ts'
import { parseListenAddress } from '../config/listen-address.ts'
import type { Authority } from '../domain/server-certificate.ts'
import { authorityPath, findAuthority } from '../tls/authority.ts'
import { certificateNames } from '../tls/certificate-names.ts'
import { applying, install, knownRegistries, type TrustHost, uninstall } from '../tls/trust-host.ts'
import { type TrustStep, trustSteps } from '../tls/trust-steps.ts'

/** How to make a host trust cay's own authority. */
export interface HostTrust {
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

export interface HostTrustOptions extends TrustHost {
  /** Used instead of the configured addresses. */
  registries: string[] | undefined
}

/** Returns the authority of a data folder, or undefined if it has none. Throws when its file is damaged. */
export function authorityOf(data: string): Promise<Authority | undefined> {
  return findAuthority(data)
}

/** Returns the steps that make a host trust the authority of a data folder. Throws when there is no authority. */
export async function hostTrust(config: Config, options: HostTrustOptions): Promise<HostTrust> {
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
