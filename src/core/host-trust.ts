import { hostname } from 'node:os'
import type { Config } from '../config/config-schema.ts'
import { parseListenAddress } from '../config/listen-address.ts'
import type { Authority } from '../domain/server-certificate.ts'
import { authorityPath, findAuthority } from '../tls/authority.ts'
import { certificateNames } from '../tls/certificate-names.ts'
import { applying, install, knownRegistries, type TrustHost, uninstall } from '../tls/trust-host.ts'
import { type TrustStep, trustSteps } from '../tls/trust-steps.ts'

/** How a host comes to trust cay's own authority. */
export interface HostTrust {
  authority: Authority
  /** The names that clients may write, `host:port`. */
  registries: string[]
  /** The steps that apply to the host. */
  steps: TrustStep[]
  /** Takes the steps. Throws when a file cannot be written, or a command fails. */
  install(): Promise<void>
  /** Undoes what install did. Files that others have changed stay. */
  uninstall(): Promise<void>
}

export interface HostTrustOptions extends TrustHost {
  /** Instead of the configured addresses. */
  registries: string[] | undefined
}

/** Returns the authority of a data folder; undefined when cay has made none. Throws when its file is damaged. */
export function authorityOf(data: string): Promise<Authority | undefined> {
  return findAuthority(data)
}

/** Finds out what would make a host trust the authority of a data folder. Throws when there is none. */
export async function hostTrust(config: Config, options: HostTrustOptions): Promise<HostTrust> {
  const authority = await findAuthority(config.data)
  if (authority === undefined)
    throw new Error(`there is no ${authorityPath(config.data)}: cay serve --tls auto makes it`)
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
