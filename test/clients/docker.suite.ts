import { expect } from 'bun:test'
import { makeImage, writeDockerArchive } from '../../scripts/lib/image.ts'
import { acts } from './acts.ts'
import { type Case, type Client, testClients, variablesOf } from './client.ts'
import { startContainerd, startEngine } from './homes.ts'

/** Docker with an engine of its own, which accepts registries on loopback without TLS, and containerd with ctr. */

/** Pulls the image of each platform under one name. */
async function pullPlatforms({ samples, sh }: Case, REF: string): Promise<void> {
  for (const architecture of ['amd64', 'arm64'] as const) {
    const variables = variablesOf(`${samples.folder}/${architecture}`, samples[architecture])
    await sh(acts.docker.pull, { env: { ...variables, REF, A: `--platform linux/${architecture}` } })
  }
}

const docker: Client = {
  name: 'docker',
  tools: ['docker', 'dockerd'],
  setUp: (home) => startEngine(home),
  acts: acts.docker,
  cases: {
    async 'pushes and pulls a layer of 64 MiB'({ registry, folder, sh }) {
      const image = await makeImage({ layerCount: 1, layerBytes: 64 * 1024 * 1024 })
      await writeDockerArchive(`${folder}/large.tar`, image, 'cay/image:1')
      const N = `${registry}/docker/large`
      const env = { ...variablesOf(`${folder}/large`, image), N, REF: `${N}:1` }
      await sh(`${acts.docker.push}\n${acts.docker.pull}`, { env })
    },
    'builds, pushes and pulls an image': `N=$R/docker/built:1; echo hello >motd
      printf 'FROM scratch\\nCOPY motd /etc/\\nCOPY motd /srv/\\nCMD ["/etc/motd"]\\n' >Dockerfile
      docker build --tag $N .
      id=$(docker image inspect --format {{.Id}} $N)
      docker push $N
      docker rmi --force $id
      docker pull $N
      is $(docker image inspect --format {{.Id}} $N) $id
      docker rmi --force $id`,
    'pushes an image again, and all its tags': `N=$R/docker/again; ${acts.docker.push}
      docker load --input $IMAGE.tar
      for tag in 1 2; do docker tag cay/image:1 $N:$tag; done
      docker push --all-tags $N
      docker rmi cay/image:1 $N:1 $N:2
      REF=$N:2; ${acts.docker.pull}`,
    async 'creates and pushes a manifest list, and pulls it by platform'(at) {
      await at.sh(`N=$R/docker/list
        for TAG in amd64 arm64; do IMAGE=$C/$TAG; ${acts.docker.push}; done
        docker manifest create --insecure $N:1 $N:amd64 $N:arm64
        docker manifest push --insecure --purge $N:1`)
      await pullPlatforms(at, `${at.registry}/docker/list:1`)
    },
    async 'pulls an OCI index by platform'(at) {
      await at.published('docker/index').push('1', at.samples.index)
      await pullPlatforms(at, `${at.registry}/docker/index:1`)
    },
    async 'pulls an OCI image by digest'({ registry, samples, sh, published }) {
      await published('docker/digest').push('1', samples.amd64)
      await sh(`REF=${registry}/docker/digest@$DIGEST; ${acts.docker.pull}`)
    },
    'finds a repository by docker search, which is of V1': `N=$R/docker/to-be-found; ${acts.docker.push}
      is "$(docker search --format {{.Name}} $R/to-be-found)" docker/to-be-found`,
  },
}

const containerd: Client = {
  name: 'containerd',
  tools: ['containerd'],
  setUp: startContainerd,
  acts: acts.containerd,
  cases: {
    async 'pushes and pulls an index of all platforms'({ samples, sh, published }) {
      const { digest } = samples.index.descriptor
      await sh(`N=$R/containerd/index IMAGE=$C/index REF=$R/containerd/index:1
        ${acts.containerd.push}
        ${acts.containerd.pull}`)
      await published('containerd/index').expectTags('1')
      expect((await published('containerd/index').manifest('1')).digest).toBe(digest)
    },
    async 'does not find a deleted image'({ sh, published }) {
      await sh(`N=$R/containerd/deleted; ${acts.containerd.push}`)
      await published('containerd/deleted').delete('1')
      await sh("fails 'not found' ctr images pull $P $R/containerd/deleted:1")
    },
  },
}

testClients(docker, containerd)
