import { equal } from 'node:assert/strict'
import { join } from 'node:path'
import { sha256 } from '../../lib/image.ts'
import type { CaseContext, Client } from '../client.ts'
import { containerdHome } from '../containers/containerd.ts'
import { containersHome } from '../containers/containers-home.ts'
import { type Cached, referencesOf, withAndWithoutUpstream } from './world.ts'

/** No server has this name, so everything that is pulled comes from the mirror. */
const NAME = 'origin.invalid'

/** podman and skopeo with a mirror in registries.conf; each pulls again without the upstream. */
export const cachedForContainers: Client = {
  name: 'cached-for-podman',
  tools: ['podman', 'skopeo'],
  setUp: containersHome,
  cases: {
    'skopeo, by tag and by digest': (context) =>
      withAndWithoutUpstream(context, NAME, (cached) => pullBySkopeo(context, cached)),
    'podman, by tag and by digest': (context) =>
      withAndWithoutUpstream(context, NAME, (cached) => pullByPodman(context, cached)),
  },
}

/** containerd with a hosts.toml, so that it asks by `?ns=`; it pulls again without the upstream. */
export const cachedForContainerd: Client = {
  name: 'cached-for-containerd',
  tools: ['containerd'],
  setUp: containerdHome,
  cases: {
    'ctr with --hosts-dir, by tag and by digest': (context) =>
      withAndWithoutUpstream(context, NAME, (cached) => pullByCtr(context, cached)),
  },
}

async function pullBySkopeo(context: CaseContext, { address, image }: Cached): Promise<void> {
  const { run } = context
  const conf = await writeRegistriesConf(context, address)
  for (const reference of referencesOf(image)) {
    await run`rm -rf pulled`
    await run`skopeo --registries-conf ${conf} copy docker://${NAME}/${reference} oci:pulled:1`
    await run`diff --recursive pushed/blobs pulled/blobs`
  }
}

async function pullByPodman(context: CaseContext, { address, image }: Cached): Promise<void> {
  const { run } = context
  const conf = await writeRegistriesConf(context, address)
  for (const reference of referencesOf(image)) {
    const id = await run`env CONTAINERS_REGISTRIES_CONF=${conf} podman pull --quiet ${NAME}/${reference}`
    equal(`sha256:${id.trim()}`, sha256(image.config))
    await run`podman rmi --all --force`
  }
}

async function writeRegistriesConf({ folder }: CaseContext, address: string): Promise<string> {
  const conf = join(folder, 'registries.conf')
  const mirror = `[[registry.mirror]]\nlocation = "${address}/${NAME}"\ninsecure = true\n`
  await Bun.write(conf, `[[registry]]\nprefix = "${NAME}"\nlocation = "${NAME}"\n${mirror}`)
  return conf
}

async function pullByCtr({ folder, run }: CaseContext, { address, image }: Cached): Promise<void> {
  const hosts = join(folder, 'certs.d')
  const toml = `server = "https://${NAME}"\n[host."http://${address}"]\n  capabilities = ["pull", "resolve"]\n`
  await Bun.write(join(hosts, NAME, 'hosts.toml'), toml)
  for (const reference of referencesOf(image)) {
    const name = `${NAME}/${reference}`
    await run`rm -rf pulled`
    await run`ctr images pull --hosts-dir ${hosts} --all-platforms --snapshotter native ${name}`
    await run`ctr images export --all-platforms pulled.tar ${name}`
    await run`tar --extract --file pulled.tar --one-top-level=pulled`
    for (const digest of image.blobs.keys()) {
      const path = join('blobs', ...digest.split(':'))
      await run`cmp ${join('pushed', path)} ${join('pulled', path)}`
    }
    await run`ctr images rm --sync ${name}`
  }
}
