import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { runCommand } from '../../scripts/lib/command.ts'
import { type Image, makeImage, writeDockerArchive, writeLayout } from '../../scripts/lib/image.ts'
import { Registry } from '../../scripts/lib/registry.ts'
import { eventually } from '../../scripts/lib/repeated.ts'
import { type Server, startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type Acts, acts } from './acts.ts'
import { openShell, plainFlags, type Shell, variablesOf } from './client.ts'
import { containersHome, type Home, startContainerd, startEngine } from './homes.ts'

/** Clients pull through a cay in front of another registry, and again without that registry. */

/** No server has this name, so everything that is pulled under it comes from the mirror in a client's settings. */
const upstream = 'origin.invalid'

/** No tag is ever fresh, so each pull by tag asks the upstream, or finds that it is down. */
const alwaysAsk = '[cache]\nfresh-seconds = 0\nstale-while-revalidate-seconds = 0\n'

/** Starts a cay that caches a registry under a name. Its settings stay in its data folder. */
async function startCache(data: string, name: string, origin: string): Promise<Server> {
  const toml = `[[upstream]]\nname = "${name}"\nurl = "http://${origin}"\n${alwaysAsk}`
  await Bun.write(join(data, 'cay.toml'), toml)
  return await startServer({ data })
}

/** How a client pulls through the cache. Without a mirror, the cache's address is the prefix of the name. */
interface Puller {
  acts: Acts
  setUp?(home: string): Promise<Home>
  /** The file of settings that names the cache as a mirror, and the flags for it. */
  mirror?: { file: string; text(address: string): string; flags: Record<string, string> }
}

const registriesConf = {
  file: 'registries.conf',
  text: (address: string) => `[[registry]]
prefix = "${upstream}"
location = "${upstream}"
[[registry.mirror]]
location = "${address}/${upstream}"
insecure = true
`,
  flags: { P: '', FROM: '--registries-conf registries.conf' },
}

/** With hosts.toml, containerd names the upstream by `?ns=`. */
const hostsToml = {
  file: `hosts/${upstream}/hosts.toml`,
  text: (address: string) =>
    `server = "https://${upstream}"\n[host."http://${address}"]\n  capabilities = ["pull", "resolve"]\n`,
  flags: { P: '--hosts-dir hosts' },
}

const pullers: Record<string, Puller> = {
  crane: { acts: acts.crane },
  'crane-digest': { acts: { ...acts.crane, pull: 'is $(crane digest $P $REF) $DIGEST' } },
  oras: { acts: acts.oras },
  regctl: { acts: acts.regctl },
  skopeo: { acts: acts.skopeo, setUp: containersHome, mirror: registriesConf },
  podman: { acts: acts.podman, setUp: containersHome, mirror: registriesConf },
  containerd: { acts: acts.containerd, setUp: startContainerd, mirror: hostsToml },
}

describe('cache', () => {
  const stack = new AsyncDisposableStack()
  const ready: Record<string, { home: string; image: Image; sh: Shell }> = {}
  let [folder, origin, cache]: [string, Server?, Server?] = ['']
  beforeAll(async () => {
    folder = stack.use(await temporaryFolder('clients')).path
    origin = await startServer()
    cache = await startCache(join(folder, 'cache'), upstream, origin.address)
    for (const [name, { acts, setUp }] of Object.entries(pullers)) {
      const [home, image] = [join(folder, name), await makeImage({ layerBytes: 500_000 })]
      await writeLayout(join(home, 'image'), image, '1')
      await writeDockerArchive(join(home, 'image.tar'), image, 'cay/image:1')
      await origin.registry.pushContent(`library/${name}`, '1', image)
      const { env, tearDown } = (await setUp?.(home)) ?? { env: {} }
      stack.defer(() => tearDown?.())
      const sh = await openShell(home, acts.tools, { ...variablesOf(join(home, 'image'), image), ...env })
      ready[name] = { home, image, sh }
    }
  })
  afterAll(async () => {
    await Promise.all([origin?.stop(), cache?.stop()])
    await stack.disposeAsync()
  })

  const pullBoth = async (name: string, { acts, mirror }: Puller) => {
    const [{ home, image, sh }, address] = [ready[name]!, cache?.address ?? '']
    if (mirror !== undefined) await Bun.write(join(home, mirror.file), mirror.text(address))
    const base = `${mirror === undefined ? `${address}/` : ''}${upstream}/library/${name}`
    for (const REF of [`${base}:1`, `${base}@${image.descriptor.digest}`])
      await sh(acts.pull, { env: { ...plainFlags(acts, address), ...mirror?.flags, REF } })
  }
  const pullAll = () => {
    for (const [name, puller] of Object.entries(pullers))
      test(`${name} pulls by tag and by digest`, () => pullBoth(name, puller))
  }
  describe('with the upstream', pullAll)
  describe('restarted without the upstream', () => {
    beforeAll(async () => {
      await Promise.all([origin?.stop(), cache?.stop()])
      cache = await startServer({ data: join(folder, 'cache') })
    })
    pullAll()
  })
})

test('crane pulls through a cay in front of a cay, and then from the nearer one alone', async () => {
  await using folder = await temporaryFolder('clients')
  const image = await makeImage()
  await writeLayout(join(folder.path, 'image'), image, '1')
  const sh = await openShell(folder.path, ['crane'], { IMAGE: 'image', P: '--insecure' })
  const near = join(folder.path, 'near')
  const pull = (cache: Server) =>
    sh(acts.crane.pull, { env: { REF: `${cache.address}/far.lan/${upstream}/library/image:1` } })
  {
    await using origin = await startServer()
    await origin.registry.pushContent('library/image', '1', image)
    await using far = await startCache(join(folder.path, 'far'), upstream, origin.address)
    await using cache = await startCache(near, 'far.lan', far.address)
    await pull(cache)
  }
  await using cache = await startServer({ data: near })
  await pull(cache)
})

const [user, password] = ['alice', crypto.randomUUID()]

/**
 * A logged-in Docker pulls from the mirror, then with Docker Hub stopped, and then, with the mirror stopped, from Docker
 * Hub. That needs the password, so Docker has one that it could have sent to the mirror.
 */
test('docker sends no password to its registry mirror, which works offline, and falls back to Docker Hub', async () => {
  // The paths of sockets must be short.
  await using folder = await temporaryFolder('docker')
  const image = await makeImage()
  await using hub = await startHub(folder.path, image)
  const data = join(folder.path, 'cache')
  let cache = await startMirror(data, hub)
  await using relay = await startRelay(await mirrorAddress(cache))
  const proxy = { HTTPS_PROXY: `http://${hub.proxy}`, NO_PROXY: '127.0.0.1' }
  const env = { ...proxy, SSL_CERT_FILE: hub.certificate }
  const engine = await startEngine(folder.path, { mirror: relay.address, env })
  try {
    const auths = { 'https://index.docker.io/v1/': { auth: btoa(`${user}:${password}`) } }
    await Bun.write(join(folder.path, '.docker/config.json'), JSON.stringify({ auths }))
    const sh = await openShell(folder.path, ['docker'], engine.env)
    const pull = () =>
      sh(`for name in image:1 image@${image.descriptor.digest}; do
        docker pull $name
        id=$(docker image inspect --format {{.Id}} $name)
        is $id ${JSON.parse(new TextDecoder().decode(image.blobs.get(image.descriptor.digest))).config.digest}
        docker rmi --force $id
      done`)
    await pull()
    await hub.stop()
    await cache.stop()
    cache = await startMirror(data, hub)
    relay.forwardTo(await mirrorAddress(cache))
    await pull()
    expect(relay.received()).toContain('GET /v2/library/image/manifests/')
    expect(relay.received()).not.toMatch(/^authorization:/im)
    for (const secret of [password, btoa(`${user}:${password}`)])
      expect(relay.received()).not.toContain(secret)
    await cache.stop()
    await expect(pull()).rejects.toThrow()
    await hub.start()
    await pull()
  } finally {
    await engine.tearDown()
    await cache.stop()
  }
})

/** Where Docker pulls images of Docker Hub from. */
const hubHost = 'registry-1.docker.io'

/**
 * Starts a registry that only its users can pull from. Clients reach it by HTTPS under Docker Hub's name, through the
 * `proxy`, and trust the certificate in a file.
 */
async function startHub(folder: string, image: Image) {
  const [key, certificate] = [join(folder, 'hub.key'), join(folder, 'hub.pem')]
  const subject = ['-subj', `/CN=${hubHost}`, '-addext', `subjectAltName=DNS:${hubHost}`]
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  await runCommand(['openssl', 'req', ...kind, ...subject, '-keyout', key, '-out', certificate])
  const data = join(folder, 'hub')
  const args = ['--external-url', `https://${hubHost}`, '--tls', `${certificate},${key}`]
  const open = () => startServer({ data, access: 'accounts', args, env: { CAY_ADMIN_PASSWORD: password } })
  let server = await open()
  const registry = new Registry(`https://admin:${password}@${server.address}`)
  await registry.pushContent('library/image', '1', image)
  await registry.api('PUT', `/users/${user}`, { password })
  await registry.api('PUT', '/grants', { subject: user, pattern: 'library/**', role: 'reader' })
  const proxy = createServer((client) => {
    client.once('data', (head) => {
      if (!head.toString('latin1').startsWith(`CONNECT ${hubHost}:443 `)) return client.destroy()
      client.write('HTTP/1.1 200 Connection established\r\n\r\n')
      connectBoth(client, server.address)
    })
    client.on('error', () => client.destroy())
  })
  return {
    proxy: await listen(proxy),
    certificate,
    stop: () => server.stop(),
    async start() {
      server = await open()
    },
    async [Symbol.asyncDispose]() {
      proxy.close()
      await server.stop()
    },
  }
}

/** Starts a cay that mirrors the hub with an account of its own. */
async function startMirror(data: string, hub: { certificate: string; proxy: string }): Promise<Server> {
  const toml = `mirror = ["docker.io=127.0.0.1:0"]
[[upstream]]
name = "docker.io"
ca = "${hub.certificate}"
proxy = "http://${hub.proxy}"
username = "admin"
password = "${password}"
${alwaysAsk}`
  await Bun.write(join(data, 'cay.toml'), toml)
  return await startServer({ data })
}

/** Waits for the log line with the address of the mirror listener. */
async function mirrorAddress(server: Server): Promise<string> {
  return await eventually(async () => {
    const line = server.log().match(/^.*listening as a mirror.*$/m)
    return JSON.parse(line?.[0] ?? '').address
  })
}

/** Starts a relay that forwards connections, and records what clients send. */
async function startRelay(target: string) {
  let current = target
  const parts: Buffer[] = []
  const sockets = new Set<Socket>()
  const relay = createServer((client) => {
    client.on('data', (bytes) => parts.push(bytes))
    for (const socket of connectBoth(client, current)) sockets.add(socket)
  })
  return {
    address: await listen(relay),
    received: () => Buffer.concat(parts).toString('latin1'),
    forwardTo: (address: string) => {
      current = address
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => relay.close(resolve))
    },
  }
}

/** Connects a client with an address. When one end fails, both are closed. */
function connectBoth(client: Socket, address: string): [Socket, Socket] {
  const { hostname, port } = new URL(`http://${address}`)
  const onward = connect(Number(port), hostname)
  client.pipe(onward).pipe(client)
  for (const socket of [client, onward])
    socket.on('error', () => {
      client.destroy()
      onward.destroy()
    })
  return [client, onward]
}

/** Listens on a free port of loopback, and returns `host:port`. */
async function listen(server: NetServer): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}
