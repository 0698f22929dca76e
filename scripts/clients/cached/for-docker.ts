import { equal, ok, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { runCommand } from '../../lib/command.ts'
import { type Image, makeImage, sha256 } from '../../lib/image.ts'
import { Registry } from '../../lib/registry.ts'
import { eventually } from '../../lib/repeated.ts'
import { type Server, startServer } from '../../lib/server.ts'
import { temporaryFolder } from '../../lib/temporary-folder.ts'
import type { CaseContext, Client } from '../client.ts'
import { startEngine } from '../containers/docker.ts'
import { HUB_HOST, type Hub, startHub } from './hub.ts'
import { type RecordingRelay, startRecordingRelay } from './recording-relay.ts'
import { REPOSITORY } from './world.ts'

const USER = 'alice'
const PASSWORD = crypto.randomUUID()
const listenSecondsMax = 10

/** Docker with a mirror of Docker Hub, which here is a registry behind a proxy. */
export const cachedForDocker: Client = {
  name: 'cached-for-docker',
  tools: ['docker', 'dockerd'],
  cases: {
    /**
     * A logged-in Docker pulls from the mirror, then with Docker Hub stopped, and then, with the mirror stopped, from Docker
     * Hub. That needs the password, so Docker has one that it could have sent to the mirror.
     */
    async 'registry-mirrors: no password reaches the mirror, it works offline, and Docker Hub is the fallback'(
      context,
    ) {
      const { folder } = context
      const image = await makeImage()
      await using hub = await startPrivateHub(folder, image)
      const data = join(folder, 'cache')
      let cache = await startMirror(data, hub)
      await using relay = await startRecordingRelay(await mirrorAddress(cache))
      // The paths of sockets must be short.
      await using home = await temporaryFolder('docker')
      const engine = await startEngine(home.path, {
        mirror: relay.address,
        env: { HTTPS_PROXY: `http://${hub.proxy}`, SSL_CERT_FILE: hub.certificate, NO_PROXY: '127.0.0.1' },
      })
      try {
        const docker = await loggedIn(context, engine.env.DOCKER_HOST)
        await docker.pullBoth(image)
        await hub.stop()
        await cache.stop()
        cache = await startMirror(data, hub)
        relay.forwardTo(await mirrorAddress(cache))
        await docker.pullBoth(image)
        expectNoSecret(relay)
        await cache.stop()
        await rejects(docker.pullBoth(image))
        await hub.restart()
        await docker.pullBoth(image)
      } finally {
        await engine.tearDown()
        await cache.stop()
      }
    },
  },
}

/** Returns what Docker sent to the mirror, and checks that it contains no secret. */
function expectNoSecret({ received }: RecordingRelay): void {
  const text = received()
  ok(text.includes(`GET /v2/${REPOSITORY}/manifests/`), 'Docker pulled from the mirror')
  ok(!/^authorization:/im.test(text), 'Docker sent an Authorization to the mirror')
  for (const secret of [PASSWORD, btoa(`${USER}:${PASSWORD}`)])
    ok(!text.includes(secret), 'the password reached the mirror')
}

/** A registry that only its users can pull from, under Docker Hub's name. */
async function startPrivateHub(folder: string, image: Image): Promise<Hub> {
  const start = async () =>
    await startServer({
      data: join(folder, 'hub'),
      access: 'accounts',
      args: ['--external-url', `https://${HUB_HOST}`],
      env: { CAY_ADMIN_PASSWORD: PASSWORD },
    })
  const hub = await startHub(folder, start)
  await new Registry(`admin:${PASSWORD}@${hub.registry}`).pushContent(REPOSITORY, '1', image)
  const data = ['--data', join(folder, 'hub')]
  await runCommand([hub.executable, 'user', 'add', ...data, USER], { input: PASSWORD })
  await runCommand([hub.executable, 'grant', 'add', ...data, USER, 'library/**', 'reader'])
  return hub
}

/** Starts a cay that mirrors the hub with an account of its own. */
async function startMirror(data: string, hub: Hub): Promise<Server> {
  const toml = `mirror = ["docker.io=127.0.0.1:0"]
[[upstream]]
name = "docker.io"
ca = "${hub.certificate}"
proxy = "http://${hub.proxy}"
username = "admin"
password = "${PASSWORD}"
[cache]
fresh-seconds = 0
stale-while-revalidate-seconds = 0
`
  await Bun.write(join(data, 'cay.toml'), toml)
  return await startServer({ data })
}

/** Waits for the log line with the address of the mirror listener. */
async function mirrorAddress(server: Server): Promise<string> {
  const line = await eventually(async () => {
    const found = server
      .log()
      .split('\n')
      .find((one) => one.includes('listening as a mirror'))
    ok(found, `there is no mirror listener\n${server.log()}`)
    return found
  }, listenSecondsMax)
  return JSON.parse(line).address
}

/** A Docker client that is logged in to Docker Hub. */
async function loggedIn({ folder, run }: CaseContext, host: string) {
  const auth = btoa(`${USER}:${PASSWORD}`)
  const config = join(folder, 'docker')
  await Bun.write(
    join(config, 'config.json'),
    JSON.stringify({ auths: { 'https://index.docker.io/v1/': { auth } } }),
  )
  const docker = ['docker', '--config', config, '--host', host]
  return {
    /** Pulls by tag and by digest, and deletes the local copies. */
    async pullBoth(image: Image) {
      for (const name of ['image:1', `image@${image.descriptor.digest}`]) {
        await run`${docker} pull ${name}`
        const id = await run`${docker} image inspect --format {{.Id}} ${name}`
        equal(id.trim(), sha256(image.config))
        await run`${docker} rmi --force ${id.trim()}`
      }
    },
  }
}
