import { expect } from 'bun:test'
import { join } from 'node:path'
import { makeImage, writeLayout } from '../../scripts/lib/image.ts'
import { acts } from './acts.ts'
import { type Case, type Client, testClients, variablesOf } from './client.ts'
import { containersHome } from './homes.ts'

/** skopeo, podman and buildah, which share containers/image and containers/storage. */

const mebibyte = 1024 * 1024

/** Copies an image with layers of this size to the registry and back. */
async function copyLayers({ folder, sh }: Case, layerCount: number, layerBytes: number): Promise<void> {
  await writeLayout(join(folder, 'pushed'), await makeImage({ layerCount, layerBytes }), '1')
  await sh(`N=$R/skopeo/layers-${layerCount} IMAGE=pushed REF=$R/skopeo/layers-${layerCount}:1
    ${acts.skopeo.push}
    ${acts.skopeo.pull}`)
}

const skopeo: Client = {
  name: 'skopeo',
  tools: ['skopeo'],
  setUp: containersHome,
  acts: acts.skopeo,
  cases: {
    'copies a docker archive': `N=docker://$R/skopeo/archive:1
      skopeo copy $TO docker-archive:$IMAGE.tar $N
      skopeo copy $FROM $N docker-archive:pulled.tar:pulled:1
      is "$(layers pulled.tar)" "$(layers $IMAGE.tar)"
      is sha256:$(tar -xOf pulled.tar $ID.json | sha256sum | cut -c1-64) sha256:$ID`,
    'copies 16 layers at once': (at) => copyLayers(at, 16, mebibyte),
    'copies a layer of 256 MiB': (at) => copyLayers(at, 1, 256 * mebibyte),
    async 'copies an index with --all, and inspects it by architecture'({ samples, sh }) {
      const inspected = await sh(`N=docker://$R/skopeo/index
        skopeo copy $TO --all --preserve-digests oci:$C/index:1 $N:1 >&2
        skopeo copy $FROM --all --preserve-digests $N@${samples.index.descriptor.digest} oci:pulled:1 >&2
        diff -r $C/index/blobs pulled/blobs
        skopeo --override-arch arm64 inspect $P $N:1`)
      expect(JSON.parse(inspected).Architecture).toBe('arm64')
    },
    'copies from repository to repository': `
      skopeo copy $TO oci:$IMAGE:1 docker://$R/skopeo/from:1
      skopeo copy $FROM $TO docker://$R/skopeo/from:1 docker://$R/skopeo/to:1
      REF=$R/skopeo/to:1; ${acts.skopeo.pull}`,
    'converts an OCI image to schema 2': `N=docker://$R/skopeo/converted:1
      skopeo copy $TO --format v2s2 oci:$IMAGE:1 $N
      skopeo inspect $P --raw $N | grep '"mediaType": *"application/vnd.docker.distribution.manifest.v2+json"'
      skopeo copy $FROM $N docker-archive:pulled.tar
      is "$(layers pulled.tar)" "$(layers $IMAGE.tar)"`,
    async 'lists tags in the order of the registry'({ sh }) {
      const listed = await sh(`N=docker://$R/skopeo/tags
        for tag in latest 1.9 Latest 1.10; do skopeo copy $TO oci:$IMAGE:1 $N:$tag >&2; done
        skopeo list-tags $P $N`)
      expect(JSON.parse(listed).Tags).toEqual(['1.10', '1.9', 'Latest', 'latest'])
    },
    async 'inspects the digest, the tags and the config'({ samples, sh }) {
      const inspected = await sh(`N=$R/skopeo/inspected; ${acts.skopeo.push} >&2
        skopeo inspect $P docker://$N:1`)
      const { Digest, RepoTags } = JSON.parse(inspected)
      expect([Digest, RepoTags]).toEqual([samples.amd64.descriptor.digest, ['1']])
      const config = await sh('skopeo inspect $P --config --raw docker://$R/skopeo/inspected:1')
      expect(config).toBe(new TextDecoder().decode(samples.amd64.config))
    },
    'deletes an image with all its tags': `N=$R/skopeo/deleted
      for TAG in 1 2; do ${acts.skopeo.push}; done
      skopeo delete $P docker://$N:1
      for tag in 1 2; do fails '[Mm]anifest unknown' skopeo inspect $P docker://$N:$tag; done`,
    'syncs a repository to a folder, and back': `N=$R/skopeo/synced; mkdir synced
      for tag in 1 2; do skopeo copy $TO --all oci:$C/index:1 docker://$N:$tag; done
      skopeo sync --all --src docker --dest dir $FROM $N synced
      skopeo sync --all --src dir --dest docker $TO synced $R/skopeo/back
      for tag in 1 2; do
        skopeo copy $FROM --all docker://$R/skopeo/back/synced:$tag oci:pulled-$tag:1
        diff -r $C/index/blobs pulled-$tag/blobs
      done`,
  },
}

/** Pushes a manifest list of both platforms with all images, and pulls each of them. */
async function pushList({ registry, samples, sh }: Case, client: 'podman' | 'buildah'): Promise<void> {
  const REF = `${registry}/${client}/list:1`
  await sh(
    `${client} manifest create list
    for platform in amd64 arm64; do ${client} manifest add list oci:$C/$platform:1; done
    ${client} manifest push --all $P list docker://$REF
    ${client} manifest rm list`,
    { env: { REF } },
  )
  for (const architecture of ['amd64', 'arm64'] as const) {
    const variables = variablesOf(`${samples.folder}/${architecture}`, samples[architecture])
    await sh(acts[client].pull, { env: { ...variables, REF, A: `--arch ${architecture}` } })
  }
}

const podman: Client = {
  name: 'podman',
  tools: ['podman'],
  setUp: containersHome,
  acts: acts.podman,
  cases: {
    'pushes and pulls an OCI image': `N=$R/podman/oci:1 REF=$R/podman/oci:1
      ln -s $IMAGE pushed; podman pull --quiet oci:pushed:1
      podman push $P --format oci $ID $N
      podman rmi --all --force
      ${acts.podman.pull}`,
    'pushes a manifest list, and pulls it by architecture': (at) => pushList(at, 'podman'),
    async 'finds a repository by the catalog, and its tags'({ sh }) {
      const found = await sh(`N=$R/podman/found
        for TAG in 1 2; do ${acts.podman.push}; done >&2
        podman search $P $N | grep podman/found >&2
        podman search $P --list-tags --format json $N`)
      expect(JSON.parse(found)[0].Tags).toEqual(['1', '2'])
    },
  },
}

const buildah: Client = {
  name: 'buildah',
  tools: ['buildah'],
  setUp: containersHome,
  acts: acts.buildah,
  cases: {
    'builds an image from nothing, pushes and pulls it': `N=$R/buildah/built:1
      mkdir -p files/etc; echo hello >files/etc/motd; head -c 5M /dev/urandom >files/random.bin
      building=$(buildah from scratch)
      buildah copy $building files /
      buildah config --cmd /random.bin $building
      id=$(buildah commit --quiet $building $N)
      buildah push $P $N
      buildah rm --all
      buildah rmi --all --force
      is $(buildah pull --quiet $P $N) $id
      diff -r files $(buildah mount $(buildah from --pull-never $N))
      buildah rm --all
      buildah rmi --all --force`,
    'pushes a manifest list, and pulls it by architecture': (at) => pushList(at, 'buildah'),
  },
}

testClients(skopeo, podman, buildah)
