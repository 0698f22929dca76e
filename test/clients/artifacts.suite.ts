import { expect } from 'bun:test'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeImage, makeIndex, writeLayout } from '../../scripts/lib/image.ts'
import { acts } from './acts.ts'
import { type Case, type Client, testClients } from './client.ts'
import { containersHome, makeKeys } from './homes.ts'

/** Charts, SBOMs, policies, operators, manifests for Kubernetes and WebAssembly: each by the client that made its format. */

const signer = 'Quay <quay@example.org>'

/** Writes the chart `quay`. */
async function writeChart({ folder }: Case): Promise<void> {
  const files = {
    'Chart.yaml': 'apiVersion: v2\nname: quay\ndescription: a chart\ntype: application\nversion: VERSION\n',
    'values.yaml': 'replicas: 3\n',
    'templates/config.yaml':
      'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\ndata:\n  replicas: "{{ .Values.replicas }}"\n',
  }
  for (const [path, text] of Object.entries(files)) await Bun.write(join(folder, 'quay', path), text)
}

/** Pushes the chart at the version `$V` into the namespace `$N`. */
const pushChart = `sed -i "s/^version: .*/version: $V/" quay/Chart.yaml
  helm package quay $SIGN
  helm push $P quay-$V.tgz oci://$N`

/** Two major versions are in use. */
const helm = (version: 'helm3' | 'helm4'): Client => ({
  name: version,
  tools: [version, 'gpg'],
  setUp: (home) => makeKeys(home, signer),
  acts: acts[version],
  cases: {
    async 'does not find a deleted chart'(at) {
      await writeChart(at)
      await at.sh(`V=0.1.0 N=$R/${version} SIGN=; ${pushChart}`)
      await at.published(`${version}/quay`).expectTags('0.1.0')
      await at.published(`${version}/quay`).delete('0.1.0')
      await at.sh(`fails 'not found' helm pull $P oci://$R/${version}/quay --version 0.1.0`)
    },
    async 'pushes and pulls a version with a plus sign'(at) {
      await writeChart(at)
      await at.sh(`V=0.1.0+build.5 N=$R/${version}/plus SIGN=; ${pushChart}
        mkdir pulled; helm pull $P oci://$N/quay --version $V --destination pulled
        cmp quay-$V.tgz pulled/quay-$V.tgz`)
      await at.published(`${version}/plus/quay`).expectTags('0.1.0_build.5')
    },
    async 'finds the newest version of a range by the tags'(at) {
      await writeChart(at)
      await at.sh(`N=$R/${version}/range SIGN=
        for V in 1.2.0 1.10.0 2.0.0; do ${pushChart}; done
        helm show chart $P oci://$N/quay --version ^1.0.0 | grep '^version: 1.10.0$'`)
    },
    async 'signs, pushes, pulls and verifies with provenance'(at) {
      await writeChart(at)
      await at.sh(`V=0.1.0 N=$R/${version}/signed; mkdir pulled
        helm() { [ $1 != package ] || set -- "$@" --sign --key '${signer}' --keyring ../secret.gpg; command helm "$@"; }
        SIGN=; ${pushChart}
        helm pull $P oci://$N/quay --version $V --verify --keyring ../public.gpg --destination pulled | grep 'Signed by: Quay'
        cmp quay-$V.tgz.prov pulled/quay-$V.tgz.prov`)
      const { json } = await at.published(`${version}/signed/quay`).manifest('0.1.0')
      expect(json.layers.map(({ mediaType }: { mediaType: string }) => mediaType).sort()).toEqual([
        'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
        'application/vnd.cncf.helm.chart.provenance.v1.prov',
      ])
    },
    async 'gets a dependency from the registry'(at) {
      await writeChart(at)
      const dependency = `- name: quay\n  version: ^0.1.0\n  repository: oci://${at.registry}/${version}/parts\n`
      const text = `apiVersion: v2\nname: harbour\nversion: 1.0.0\ndependencies:\n${dependency}`
      await Bun.write(join(at.folder, 'harbour', 'Chart.yaml'), text)
      await at.sh(`V=0.1.0 N=$R/${version}/parts SIGN=; ${pushChart}
        helm dependency update $P harbour
        cmp quay-0.1.0.tgz harbour/charts/quay-0.1.0.tgz
        helm template example harbour | grep 'replicas: "3"'`)
      expect(await readdir(join(at.folder, 'harbour', 'charts'))).toEqual(['quay-0.1.0.tgz'])
    },
  },
})

const packages = `Package: harbour
Status: install ok installed
Architecture: amd64
Version: 1.2.3
Maintainer: ${signer}
Description: a package
`

/** syft reads an image from the registry, and lists its packages. oras attaches the list to the image. */
const syft: Client = {
  name: 'syft',
  tools: ['syft', 'oras'],
  setUp: async () => ({
    env: { SYFT_REGISTRY_INSECURE_USE_HTTP: 'true', SYFT_CHECK_FOR_APP_UPDATE: 'false' },
  }),
  cases: {
    async 'lists the packages of an image, and oras attaches, finds, pulls and deletes the lists'(at) {
      const release = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n'
      const files = [{ 'etc/os-release': release }, { 'var/lib/dpkg/status': packages }]
      const image = await makeImage({ files })
      const published = at.published('syft/image')
      await published.push('1', image)
      await at.sh(`N=$R/syft/image
        syft scan --quiet registry:$N:1 --output spdx-json=spdx.json --output cyclonedx-json=vnd.cyclonedx.json
        for format in spdx vnd.cyclonedx; do
          type=application/$format+json
          oras attach --plain-http --artifact-type $type $N:1 $format.json:$type
          list=$(oras discover --plain-http --format 'go-template={{range .referrers}}{{.digest}}{{end}}' --artifact-type $type $N:1)
          oras pull --plain-http --output pulled $N@$list
          cmp $format.json pulled/$format.json
        done`)
      const found = await Bun.file(join(at.folder, 'spdx.json')).json()
      expect(found.packages).toContainEqual(
        expect.objectContaining({ name: 'harbour', versionInfo: '1.2.3' }),
      )
      const { digest } = image.descriptor
      const types = (await published.referrers(digest)).map(({ artifactType }) => artifactType)
      expect(types.sort()).toEqual(['application/spdx+json', 'application/vnd.cyclonedx+json'])
      await at.sh(`oras manifest delete --plain-http --force $R/syft/image@${digest}
        fails 'MANIFEST_UNKNOWN|404' syft scan registry:$R/syft/image:1`)
      await published.expectGone('1', digest)
    },
  },
}

async function writePolicy({ folder }: Case): Promise<void> {
  const policy = `package main
import rego.v1
deny contains message if {
  input.replicas < 2
  message := sprintf("%d replicas are too few", [input.replicas])
}
`
  await Bun.write(join(folder, 'policy', 'main.rego'), policy)
  for (const replicas of [1, 3])
    await Bun.write(join(folder, `replicas-${replicas}.json`), JSON.stringify({ replicas }))
}

/** conftest pushes policies as a manifest without a media type, which it tags by a second push. */
const conftest: Client = {
  name: 'conftest',
  tools: ['conftest'],
  cases: {
    async 'pushes and pulls policies, and tests with them'(at) {
      await writePolicy(at)
      await at.sh(`N=$R/conftest/policies:1
        conftest push --tls=false --policy policy $N
        conftest pull --tls=false --policy pulled $N
        diff -r policy pulled/policy
        conftest test --policy pulled replicas-3.json
        fails '1 replicas are too few' conftest test --policy pulled replicas-1.json`)
      const published = at.published('conftest/policies')
      await published.expectTags('1')
      const { json, mediaType } = await published.manifest('1')
      expect([mediaType, json.layers[0].mediaType]).toEqual([
        'application/vnd.oci.image.manifest.v1+json',
        'application/vnd.cncf.openpolicyagent.policy.layer.v1+rego',
      ])
      await published.delete('1')
      await at.sh("fails 'not found' conftest pull --tls=false --policy again $R/conftest/policies:1")
    },
  },
}

/** opa runs a bundle that it pulls from the registry itself. */
const opa: Client = {
  name: 'opa',
  tools: ['opa', 'oras'],
  cases: {
    async 'pulls a bundle that oras pushed, and decides with it'(at) {
      await writePolicy(at)
      const resource = `${at.registry}/opa/bundle:1`
      const configuration = {
        services: { cay: { url: `http://${at.registry}`, type: 'oci' } },
        bundles: { policies: { service: 'cay', resource } },
        persistence_directory: join(at.folder, 'pulled'),
      }
      await Bun.write(join(at.folder, 'opa.json'), JSON.stringify(configuration))
      await at.sh(`opa build --bundle policy --output bundle.tar.gz; echo '{}' >config.json
        oras push --plain-http --config config.json:application/vnd.oci.image.config.v1+json ${resource} \
          bundle.tar.gz:application/vnd.oci.image.layer.v1.tar+gzip`)
      const decide = 'opa exec --config-file opa.json --decision main/deny'
      const { result } = JSON.parse(await at.sh(`${decide} replicas-1.json replicas-3.json`))
      expect(result.map((decided: { result: string[] }) => decided.result)).toEqual([
        ['1 replicas are too few'],
        [],
      ])
      const published = at.published('opa/bundle')
      const { json } = await published.manifest('1')
      const bundle = await Bun.file(join(at.folder, 'bundle.tar.gz')).bytes()
      expect(Buffer.from(bundle).equals(await published.blob(json.layers[0].digest))).toBe(true)
      await published.delete('1')
      await at.sh(`fails 'not found|404' ${decide} replicas-1.json`)
    },
  },
}

const label = 'operators.operatorframework.io'
const annotations = {
  [`${label}.bundle.mediatype.v1`]: 'registry+v1',
  [`${label}.bundle.manifests.v1`]: 'manifests/',
  [`${label}.bundle.metadata.v1`]: 'metadata/',
  [`${label}.bundle.package.v1`]: 'harbour',
  [`${label}.bundle.channels.v1`]: 'stable',
  [`${label}.bundle.channel.default.v1`]: 'stable',
}

/** Builds an image of the folder `files` with these labels, in `$FORMAT`, and pushes it to `$N`. */
async function pushFiles({ folder, sh }: Case, N: string, FORMAT: string, labels: Record<string, string>) {
  const lines = Object.entries(labels).map(([name, value]) => `LABEL ${name}=${value}\n`)
  await Bun.write(join(folder, 'Dockerfile'), `FROM scratch\n${lines.join('')}COPY files /\n`)
  await sh(
    `buildah build --isolation chroot --quiet --format $FORMAT --tag $N .
    buildah push --tls-verify=false $N
    buildah rmi --all --force`,
    { env: { N, FORMAT } },
  )
}

/** Pushes an operator's bundle, and returns what opm renders of it. */
async function pushBundle(at: Case, repository: string): Promise<string> {
  const N = `${at.registry}/${repository}:v1.0.0`
  const version = {
    apiVersion: 'operators.coreos.com/v1alpha1',
    kind: 'ClusterServiceVersion',
    metadata: { name: 'harbour.v1.0.0' },
    spec: {
      displayName: 'Harbour',
      version: '1.0.0',
      relatedImages: [],
      installModes: [{ type: 'AllNamespaces', supported: true }],
      install: { strategy: 'deployment', spec: { deployments: [] } },
    },
  }
  const files = join(at.folder, 'files')
  await Bun.write(join(files, 'manifests/harbour.clusterserviceversion.yaml'), JSON.stringify(version))
  await Bun.write(join(files, 'metadata/annotations.yaml'), JSON.stringify({ annotations }))
  await pushFiles(at, N, 'docker', annotations)
  return await at.sh('opm render --use-http $N; rm -r files', { env: { N } })
}

/** opm: bundles and catalogs of the Operator Lifecycle Manager, which are images that buildah builds from nothing. */
const opm: Client = {
  name: 'opm',
  tools: ['opm', 'buildah'],
  setUp: containersHome,
  cases: {
    async 'renders a bundle'(at) {
      const image = `${at.registry}/operators/bundle:v1.0.0`
      expect(JSON.parse(await pushBundle(at, 'operators/bundle'))).toMatchObject({
        schema: 'olm.bundle',
        image,
        name: 'harbour.v1.0.0',
        relatedImages: [{ name: '', image }],
      })
      await at.published('operators/bundle').expectTags('v1.0.0')
      await at.published('operators/bundle').delete('v1.0.0')
      await at.sh(`fails 'not found|[Mm]anifest unknown' opm render --use-http ${image}`)
    },
    async 'renders a file-based catalog with the bundle'(at) {
      const bundle = await pushBundle(at, 'operators/harbour')
      const channel = {
        schema: 'olm.channel',
        package: 'harbour',
        name: 'stable',
        entries: [{ name: 'harbour.v1.0.0' }],
      }
      const catalog = [
        await at.sh('opm init harbour --default-channel stable'),
        JSON.stringify(channel),
        bundle,
      ]
      await Bun.write(join(at.folder, 'files/configs/harbour/catalog.json'), catalog.join('\n'))
      const N = `${at.registry}/operators/catalog:v1`
      await pushFiles(at, N, 'oci', { [`${label}.index.configs.v1`]: '/configs' })
      const [rendered, local] = [
        `opm render --use-http ${N}`,
        'opm validate files/configs; opm render files/configs',
      ]
      expect(await at.sh(rendered)).toBe(await at.sh(local))
    },
  },
}

/** flux: manifests for Kubernetes in an artifact, which its source controller pulls. */
const flux: Client = {
  name: 'flux',
  tools: ['flux'],
  cases: {
    async 'pushes, tags, lists, diffs and pulls an artifact'({ sh, published }) {
      await sh(`N=oci://$R/flux/deploy; mkdir deploy pulled
        echo '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"harbour"},"data":{"ships":"3"}}' >deploy/config.yaml
        flux push artifact $N:1 --path deploy --insecure-registry --source https://example.org/deploy.git \
          --revision main@sha1:0123456789012345678901234567890123456789
        flux tag artifact $N:1 --tag latest
        flux list artifacts $N --insecure-registry | grep 'deploy:1\\s.*main@sha1:0123'
        flux diff artifact $N:latest --path deploy --insecure-registry
        flux pull artifact $N:latest --output pulled --insecure-registry
        diff -r deploy pulled`)
      await published('flux/deploy').expectTags('1', 'latest')
      const { json } = await published('flux/deploy').manifest('1')
      const types = [json.config, ...json.layers].map(({ mediaType }) => mediaType)
      const flux = 'application/vnd.cncf.flux'
      expect(types).toEqual([`${flux}.config.v1+json`, `${flux}.content.v1.tar+gzip`])
      await published('flux/deploy').delete('latest')
      await sh(
        "fails 'MANIFEST_UNKNOWN|404' flux pull artifact oci://$R/flux/deploy:1 --output pulled --insecure-registry",
      )
    },
  },
}

/** A module with nothing in it. */
const wasmModule = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)

/** WebAssembly in the three formats that registries store. */
const wasm: Client = {
  name: 'wasm',
  tools: ['wasm-to-oci', 'oras', 'crane'],
  cases: {
    async 'is pushed and pulled by wasm-to-oci'({ folder, sh, published }) {
      await Bun.write(join(folder, 'pushed.wasm'), wasmModule)
      await sh(`wasm-to-oci push --use-http pushed.wasm $R/wasm/module:1
        wasm-to-oci pull --use-http $R/wasm/module:1 --out pulled.wasm
        cmp pushed.wasm pulled.wasm`)
      await published('wasm/module').expectTags('1')
      const { json } = await published('wasm/module').manifest('1')
      const type = 'application/vnd.wasm'
      expect([json.config.mediaType, json.layers[0].mediaType]).toEqual([
        `${type}.config.v1+json`,
        `${type}.content.layer.v1+wasm`,
      ])
    },
    async "is pushed, pulled and deleted by oras as the CNCF's artifact"({ folder, sh }) {
      await Bun.write(join(folder, 'pushed.wasm'), wasmModule)
      const fields = { created: '2026-01-01T00:00:00Z', architecture: 'wasm', os: 'wasip2' }
      const config = { ...fields, layerDigests: [], component: {} }
      await Bun.write(join(folder, 'config.json'), JSON.stringify(config))
      await sh(`N=$R/wasm/component:1
        oras push --plain-http $N --config config.json:application/vnd.wasm.config.v0+json pushed.wasm:application/wasm
        oras pull --plain-http --output pulled $N
        cmp pushed.wasm pulled/pushed.wasm
        oras manifest delete --plain-http --force $N
        fails 'not found' oras pull --plain-http $N`)
    },
    async 'is pushed and pulled by crane as an image beside another platform'({ folder, sh }) {
      const files = [{ 'module.wasm': wasmModule }]
      const platforms = [
        { os: 'linux', architecture: 'amd64' },
        { os: 'wasip1', architecture: 'wasm' },
      ]
      const images = await Promise.all(platforms.map((platform) => makeImage({ ...platform, files })))
      await writeLayout(join(folder, 'pushed'), makeIndex(images), '1')
      await sh('crane push --insecure pushed $R/wasm/image:1')
      for (const platform of platforms) {
        const flag = `--platform ${platform.os}/${platform.architecture}`
        expect(JSON.parse(await sh(`crane config --insecure ${flag} $R/wasm/image:1`))).toMatchObject(
          platform,
        )
      }
      await sh('crane pull --insecure --format oci $R/wasm/image:1 pulled; diff -r pushed/blobs pulled/blobs')
    },
  },
}

testClients(helm('helm3'), helm('helm4'), syft, conftest, opa, opm, flux, wasm)
