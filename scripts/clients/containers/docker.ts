import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import {
  expectArchive,
  type Image,
  makeImage,
  makeIndex,
  makePlatforms,
  sha256,
  writeDockerArchive,
} from '../../lib/image.ts'
import { Registry } from '../../lib/registry.ts'
import { bringTools } from '../../toolchain/toolchain.ts'
import { type CaseContext, type Client, startDaemon } from '../client.ts'

/** docker: starts an engine, which accepts registries on loopback without TLS. */
export const docker: Client = {
  name: 'docker',
  tools: ['docker', 'dockerd'],
  setUp: (home) => startEngine(home),
  cases: {
    async 'push and pull of an image'(context) {
      const image = await makeImage()
      await loadAndPush(context, image, `${context.registry}/docker/image:1`)
      await pullAndCompare(context, image, `${context.registry}/docker/image:1`)
    },
    async 'push and pull of a layer of 64 MiB'(context) {
      const image = await makeImage({ layerCount: 1, layerBytes: 64 * 1024 * 1024 })
      await loadAndPush(context, image, `${context.registry}/docker/large:1`)
      await pullAndCompare(context, image, `${context.registry}/docker/large:1`)
    },
    async 'build, push and pull'({ registry, folder, run }) {
      const name = `${registry}/docker/built:1`
      await Bun.write(
        join(folder, 'Dockerfile'),
        'FROM scratch\nCOPY motd /etc/\nCOPY motd /srv/\nCMD ["/etc/motd"]\n',
      )
      await Bun.write(join(folder, 'motd'), 'hello\n')
      await run`docker build --tag ${name} .`
      const id = await imageId(run, name)
      await run`docker push ${name}`
      await run`docker rmi --force ${id}`
      await run`docker pull ${name}`
      equal(await imageId(run, name), id)
    },
    async 'push again, and a second tag'(context) {
      const { registry, run } = context
      const image = await makeImage()
      await loadAndPush(context, image, `${registry}/docker/again:1`)
      await run`docker load --input pushed.tar`
      await run`docker tag ${registry}/docker/again:1 ${registry}/docker/again:2`
      await run`docker push --all-tags ${registry}/docker/again`
      await run`docker rmi ${registry}/docker/again:1 ${registry}/docker/again:2`
      await pullAndCompare(context, image, `${registry}/docker/again:2`)
    },
    async 'manifest list: create, push, and pull by platform'(context) {
      const { registry, run } = context
      const [amd64, arm64] = await makePlatforms()
      const name = `${registry}/docker/list`
      await loadAndPush(context, amd64, `${name}:amd64`)
      await loadAndPush(context, arm64, `${name}:arm64`)
      await run`docker manifest create --insecure ${name}:1 ${name}:amd64 ${name}:arm64`
      await run`docker manifest push --insecure --purge ${name}:1`
      await pullAndCompare(context, amd64, `${name}:1`, '--platform', 'linux/amd64')
      await pullAndCompare(context, arm64, `${name}:1`, '--platform', 'linux/arm64')
    },
    async 'pull of an OCI index by platform'(context) {
      const images = await makePlatforms()
      await new Registry(context.registry).pushContent('docker/index', '1', makeIndex(images))
      for (const image of images) {
        const platform = `linux/${image.descriptor.platform?.architecture}`
        await pullAndCompare(context, image, `${context.registry}/docker/index:1`, '--platform', platform)
      }
    },
    async 'pull by digest'(context) {
      const image = await makeImage()
      await new Registry(context.registry).pushContent('docker/digest', '1', image)
      await pullAndCompare(context, image, `${context.registry}/docker/digest@${image.descriptor.digest}`)
    },
    async 'search, which is of V1'(context) {
      const { registry, run } = context
      const image = await makeImage({ layerBytes: 1024 })
      await loadAndPush(context, image, `${registry}/docker/to-be-found:1`)
      const found = await run`docker search --format {{.Name}} ${registry}/to-be-found`
      equal(found.trimEnd(), 'docker/to-be-found')
    },
  },
}

export interface EngineOptions {
  /** The `host:port` of a mirror of Docker Hub. */
  mirror?: string
  env?: Record<string, string>
  /** Gives it a network of its own with a bridge, whose ports are nobody else's. By default its containers have none. */
  hasNetwork?: boolean
}

/** Starts an engine below `home` that needs no network and no storage driver of the kernel. */
export async function startEngine(home: string, { mirror, env = {}, hasNetwork }: EngineOptions = {}) {
  const { dockerd = '', ip = '' } = await bringTools(['dockerd', 'ip'])
  const host = `unix://${home}/docker.sock`
  const folders = ['--data-root', `${home}/data`, '--exec-root', `${home}/exec`, '--pidfile', `${home}/pid`]
  const network = ['--iptables=false', '--ip6tables=false', ...(hasNetwork ? [] : ['--bridge=none'])]
  const mirrors = mirror === undefined ? [] : ['--registry-mirror', `http://${mirror}`]
  const command = [dockerd, ...network, ...mirrors, '--storage-driver=vfs', ...folders, '--host', host]
  const inside = hasNetwork ? ['unshare', '--net', 'sh', '-c', `${ip} link set lo up && exec "$@"`, 'sh'] : []
  const tearDown = await startDaemon([...inside, ...command], home, 'API listen on', env)
  return { env: { DOCKER_HOST: host }, tearDown }
}

async function loadAndPush({ folder, run }: CaseContext, image: Image, name: string): Promise<void> {
  await writeDockerArchive(join(folder, 'pushed.tar'), image, name)
  await run`docker load --input pushed.tar`
  await run`docker push ${name}`
  await run`docker rmi ${name}`
}

/** Pulls an image, expects the id and the layers of `image`, and deletes the local copy. */
async function pullAndCompare({ folder, run }: CaseContext, image: Image, name: string, ...flags: string[]) {
  await run`docker pull ${flags} ${name}`
  equal(await imageId(run, name), sha256(image.config))
  await run`docker save --output pulled.tar ${name}`
  await expectArchive(join(folder, 'pulled.tar'), image)
  await run`docker rmi ${name}`
}

async function imageId(run: CaseContext['run'], name: string): Promise<string> {
  return (await run`docker image inspect --format {{.Id}} ${name}`).trim()
}
