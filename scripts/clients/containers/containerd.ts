import { deepEqual, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { type Content, makeImage, makeIndex, makePlatforms, writeLayout } from '../../lib/image.ts'
import { bringTools } from '../../toolchain/toolchain.ts'
import { type CaseContext, type Client, startDaemon } from '../client.ts'
import { Published } from '../published.ts'

/** containerd, which pulls for Kubernetes: a daemon of this test, and its command ctr. */
export const containerd: Client = {
  name: 'containerd',
  tools: ['containerd'],
  setUp: containerdHome,
  cases: {
    'push and pull of an image': async (context) => pushAndPull(context, await makeImage(), 'image'),
    'push and pull of an index': async (context) => {
      const images = await makePlatforms()
      await pushAndPull(context, makeIndex(images), 'index')
    },
  },
}

/** Starts containerd with nothing but its store of content, below `home`. */
export async function containerdHome(home: string) {
  const { containerd = '' } = await bringTools(['containerd'])
  const address = join(home, 'containerd.sock')
  const configuration = [
    'version = 2',
    `root = "${join(home, 'root')}"`,
    `state = "${join(home, 'state')}"`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
    `[grpc]\naddress = "${address}"`,
    `[ttrpc]\naddress = "${address}.ttrpc"`,
    '',
  ]
  const file = join(home, 'containerd.toml')
  await Bun.write(file, configuration.join('\n'))
  const ready = 'containerd successfully booted'
  const tearDown = await startDaemon([containerd, '--config', file], home, ready)
  return { env: { CONTAINERD_ADDRESS: address }, tearDown }
}

async function pushAndPull(context: CaseContext, content: Content, repository: string): Promise<void> {
  const { registry, folder, run } = context
  const base = `${registry}/containerd/${repository}`
  const name = `${base}:1`
  const images = (...command: string[]) => run`ctr images ${command}`
  await writeLayout(join(folder, 'pushed'), content, '1')
  await run`tar --create --file pushed.tar --directory pushed .`
  await images('import', '--all-platforms', '--no-unpack', '--base-name', base, 'pushed.tar')
  await images('push', '--plain-http', name)
  await images('rm', '--sync', ...(await images('list', '--quiet')).trim().split('\n'))
  await images('pull', '--plain-http', '--all-platforms', '--snapshotter', 'native', name)
  await images('export', '--all-platforms', 'pulled.tar', name)
  await run`tar --extract --file pulled.tar --one-top-level=pulled`
  for (const digest of content.blobs.keys()) {
    const path = join('blobs', ...digest.split(':'))
    await run`cmp ${join('pushed', path)} ${join('pulled', path)}`
  }
  const published = new Published(registry, `containerd/${repository}`)
  await published.expectTags('1')
  deepEqual((await published.manifest('1')).bytes, content.blobs.get(content.descriptor.digest))
  await published.delete('1')
  await rejects(images('pull', '--plain-http', name), /not found/)
}
