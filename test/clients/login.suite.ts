import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { runCommand } from '../../scripts/lib/command.ts'
import { Registry } from '../../scripts/lib/registry.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { bringTools } from '../../scripts/toolchain/toolchain.ts'
import { type Acts, acts } from './acts.ts'
import { makeSamples, openShell, plainFlags, type Samples, type Shell, variablesOf } from './client.ts'
import { containersHome, startContainerd, startEngine } from './homes.ts'

/**
 * Clients sign in at a registry with accounts: over HTTP on loopback, all with one file of credentials, and over HTTPS on
 * another address, each with its own, before and after this host trusts the registry's authority. Needs root on Debian.
 */

const password = 'correct-horse-battery'
const stack = new AsyncDisposableStack()
let folder: string
let samples: Samples
let engine: Record<string, string>

beforeAll(async () => {
  folder = stack.use(await temporaryFolder('login')).path
  samples = await makeSamples(join(folder, 'samples'))
  const { env, tearDown } = await startEngine(join(folder, 'docker'))
  stack.defer(tearDown)
  engine = env
})
afterAll(() => stack.disposeAsync())

/** Adds accounts with the same password, and a grant for each on `pattern`. */
async function addAccounts(registry: Registry, grants: [user: string, pattern: string, role: string][]) {
  for (const [subject, pattern, role] of grants) {
    await registry.api('PUT', `/users/${subject}`, { password })
    await registry.api('PUT', '/grants', { subject, pattern, role })
  }
}

describe('login', () => {
  const clients = ['docker', 'podman', 'skopeo', 'buildah', 'crane', 'oras', 'helm3'] as const
  let registry: string
  let home: Shell
  beforeAll(async () => {
    const env = { CAY_ADMIN_PASSWORD: password }
    registry = stack.use(await startServer({ access: 'accounts', env })).address
    const admin = new Registry(`admin:${password}@${registry}`)
    await addAccounts(admin, [
      ['alice', 'team/*', 'writer'],
      ['bob', 'team/*', 'reader'],
    ])
    await admin.pushContent('team/app', '1', samples.amd64)
    const path = join(folder, 'login')
    const daemon = await startContainerd(path)
    stack.defer(() => daemon.tearDown?.())
    const file = join(path, '.docker/config.json')
    const credentials = { REGISTRY_AUTH_FILE: file, HELM_REGISTRY_CONFIG: file, R: registry }
    const variables = variablesOf(join(samples.folder, 'amd64'), samples.amd64)
    const { env: containers } = await containersHome(path)
    home = await openShell(path, [...clients, 'containerd'], {
      ...engine,
      ...daemon.env,
      ...containers,
      ...variables,
      ...credentials,
    })
    await signIn('helm3', 'alice')
    await run('helm3', acts.helm3.push, 'team/chart')
  })
  const run = (client: keyof typeof acts, lines: string, repository: string, more = {}) => {
    const [N, TAG] = [`${registry}/${repository}`, client === 'helm3' ? '1.0.0' : '1']
    return home(lines, {
      env: { ...plainFlags(acts[client], registry), N, TAG, REF: `${N}:${TAG}`, ...more },
    })
  }
  const signIn = (client: keyof typeof acts, user: string) =>
    home(acts[client].login, { env: { ...plainFlags(acts[client], registry), U: user }, input: password })

  test.each(clients)('each client pulls with the login of %s', async (signedIn) => {
    await signIn(signedIn, 'alice')
    for (const client of clients)
      await run(client, acts[client].pull, client === 'helm3' ? 'team/chart' : 'team/app')
  })

  const denied = ['docker', 'skopeo', 'podman', 'crane', 'oras', 'containerd'] as const
  test.each(denied)('%s says why a push or a pull is denied', async (client) => {
    await signIn('docker', 'bob')
    const more = client === 'containerd' ? { P: `--plain-http --user bob:${password}` } : {}
    await expect(run(client, acts[client].push, 'team/other', more)).rejects.toThrow(
      'bob may not push to team/other: needs writer',
    )
    await expect(run(client, acts[client].pull, 'secret/app', more)).rejects.toThrow(
      'bob may not pull from secret/app: needs reader',
    )
  })
})

/**
 * Docker and others do not verify registries on 127.0.0.1 and ::1. So clients use this address, which is never routed
 * (RFC 2544), and which the loopback interface has during the run.
 */
const address = '198.18.0.1'

const cosign: Acts = {
  tools: ['cosign3', 'crane'],
  plain: {},
  login: 'cosign login --username $U --password-stdin $R',
  loginAsksNobody: true,
  push: `[ -e cosign.key ] || cosign generate-key-pair
    name=$(crane push $IMAGE $N:$TAG)
    cosign sign --tlog-upload=false --use-signing-config=false --yes --key cosign.key $name`,
  pull: `verify="cosign verify --key cosign.pub --insecure-ignore-tlog $REF"
    $verify
    cosign clean --force $REF
    fails 'no signatures' $verify`,
}

const regctl: Acts = {
  ...acts.regctl,
  pull: `${acts.regctl.pull}; regctl image copy $REF $N/copy:1; regctl tag rm $N/copy:1`,
}

const { skopeo, crane, podman, docker, oras, helm3, helm4 } = acts
const overTls: Record<string, Acts> = { skopeo, crane, podman, docker, oras, helm3, helm4, regctl, cosign }

describe('over TLS', () => {
  const shells: Record<string, Shell> = {}
  let data: string
  let registry: string
  beforeAll(async () => {
    const { ip = '' } = await bringTools(['ip'])
    await runCommand([ip, 'address', 'add', `${address}/32`, 'dev', 'lo'])
    stack.defer(() => void runCommand([ip, 'address', 'del', `${address}/32`, 'dev', 'lo']))
    data = join(folder, 'data')
    const args = ['--tls', 'auto', '--host', address, '--listen', `${address}:0`]
    const env = { CAY_ADMIN_PASSWORD: password }
    registry = stack.use(await startServer({ data, access: 'accounts', args, env })).address
    const admin = new Registry(`https://admin:${password}@${registry}`)
    for (const user of ['alice', 'bob']) await admin.api('PUT', `/users/${user}`, { password })
  })
  /** Gives each client a home without credentials. */
  const openHomes = async (phase: string) => {
    for (const [name, { tools }] of Object.entries(overTls)) {
      const home = join(folder, `${phase}-${name}`)
      const { env } = await containersHome(home)
      const variables = { ...variablesOf(join(samples.folder, 'amd64'), samples.amd64), ...engine, ...env }
      shells[name] = await openShell(home, tools, {
        ...variables,
        R: registry,
        U: 'alice',
        COSIGN_PASSWORD: '-',
      })
    }
  }
  const run = (name: string, lines: string, owner = 'alice') => {
    const [N, TAG] = [`${registry}/${owner}/${name}`, overTls[name]?.tag ?? '1']
    return shells[name]!(lines, { env: { N, TAG, REF: `${N}:${TAG}` }, input: password })
  }

  describe('before this host trusts the authority', () => {
    beforeAll(() => openHomes('before'))
    const unknownAuthority = /x509|unknown authority|certificate/
    for (const [name, { login, push, loginAsksNobody }] of Object.entries(overTls)) {
      if (!loginAsksNobody)
        test(`${name} does not sign in`, () => expect(run(name, login)).rejects.toThrow(unknownAuthority))
      test(`${name} does not push`, () => expect(run(name, push)).rejects.toThrow(unknownAuthority))
    }
  })

  describe('after cay trust --install', () => {
    let before: Record<string, string> | undefined
    const trust = async (act: '--install' | '--uninstall') => {
      const executable = process.env.CAY_EXECUTABLE ?? (await build())
      await runCommand([executable, 'trust', '--data', data, '--registry', registry, act])
    }
    beforeAll(async () => {
      await openHomes('after')
      before = await snapshot()
      await trust('--install')
    })
    afterAll(async () => {
      if (before !== undefined) await trust('--uninstall')
    })
    for (const [name, { login, push, pull }] of Object.entries(overTls)) {
      test(`${name} does not push before it signs in`, () =>
        expect(run(name, push)).rejects.toThrow(/unauthorized|authentication required/i))
      test(`${name} signs in, pushes and pulls without insecure flags`, async () => {
        await run(name, login)
        await run(name, push)
        await run(name, pull)
      })
      test(`${name} does not push to the repository of another user`, () =>
        expect(run(name, push, 'bob')).rejects.toThrow(
          /403\W{1,2}Forbidden|\bhttp 403\b|\bdenied: \S+ may not push to\b/im,
        ))
    }
    test('cay trust --uninstall leaves the host as it was', async () => {
      await trust('--uninstall')
      expect(await snapshot()).toEqual(before!)
      before = undefined
    })
  })
})

/** The places that `cay trust` can change on this host. */
const places = ['ssl/certs', 'docker', 'containers', 'containerd'].map((name) => `/etc/${name}`)

/** Java's store contains the time of each update, so only the names in it are compared. */
const javaStore = '/etc/ssl/certs/java/cacerts'

/** Returns the hash of each file in those places, by path. */
async function snapshot(): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const place of [...places, '/usr/local/share/ca-certificates']) {
    const entries = await readdir(place, { recursive: true, withFileTypes: true }).catch(() => [])
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name)
      const bytes = entry.isDirectory() ? '' : await readFile(path).catch(() => '')
      found[path] = path === javaStore ? String(bytes.includes('cay-')) : Bun.hash(bytes).toString(16)
    }
  }
  return found
}
