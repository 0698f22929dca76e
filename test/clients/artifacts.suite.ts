import { expect } from 'bun:test'
import { join } from 'node:path'
import { runCommand } from '../../scripts/lib/command.ts'
import { makeImage, makeIndex, writeLayout } from '../../scripts/lib/image.ts'
import { acts } from './acts.ts'
import { type Case, type Client, testClients } from './client.ts'
import { containersHome } from './homes.ts'

/** Charts, SBOMs, policies, operators, manifests for Kubernetes and WebAssembly: each by the client that made its format. */

const signer = 'Quay <quay@example.org>'

/** Makes a key of the signer, and the two files that helm reads keys from. */
const makeKeys = `mkdir --mode=700 keys
  gpg() { command gpg --homedir keys --batch --quiet --pinentry-mode loopback "$@"; }
  trap 'gpgconf --homedir keys --kill all' EXIT
  gpg --passphrase '' --quick-generate-key '${signer}' rsa2048 sign never
  gpg --output secret.gpg --export-secret-keys
  gpg --output public.gpg --export`

/** Writes the chart `quay` at the version `$V`, and pushes it into the namespace `$N`. */
const pushChart = `mkdir -p quay/templates
  printf 'apiVersion: v2\\nname: quay\\ndescription: a chart\\ntype: application\\nversion: %s\\n' $V >quay/Chart.yaml
  echo 'replicas: 3' >quay/values.yaml
  cat >quay/templates/config.yaml <<'END'
apiVersion: v1
kind: ConfigMap
metadata: { name: "{{ .Release.Name }}" }
data: { replicas: "{{ .Values.replicas }}" }
END
  helm package quay "$@"
  helm push $P quay-$V.tgz oci://$N`

/** Two major versions are in use. */
const helm = (version: 'helm3' | 'helm4'): Client => ({
  name: version,
  tools: [version, 'gpg'],
  async setUp(home) {
    await runCommand(['bash', '-euc', makeKeys], { cwd: home })
    return { env: {} }
  },
  acts: acts[version],
  cases: {
    async 'does not find a deleted chart'({ sh, published }) {
      await sh(`V=0.1.0 N=$R/${version}; ${pushChart}`)
      await published(`${version}/quay`).expectTags('0.1.0')
      await published(`${version}/quay`).delete('0.1.0')
      await sh(`fails 'not found' helm pull $P oci://$R/${version}/quay --version 0.1.0`)
    },
    async 'pushes and pulls a version with a plus sign'({ sh, published }) {
      await sh(`V=0.1.0+build.5 N=$R/${version}/plus; ${pushChart}
        mkdir pulled; helm pull $P oci://$N/quay --version $V --destination pulled
        cmp quay-$V.tgz pulled/quay-$V.tgz`)
      await published(`${version}/plus/quay`).expectTags('0.1.0_build.5')
    },
    'finds the newest version of a range by the tags': `N=$R/${version}/range
      for V in 1.2.0 1.10.0 2.0.0; do ${pushChart}; done
      helm show chart $P oci://$N/quay --version ^1.0.0 | grep '^version: 1.10.0$'`,
    async 'signs, pushes, pulls and verifies with provenance'({ sh, published }) {
      await sh(`V=0.1.0 N=$R/${version}/signed; mkdir pulled
        set -- --sign --key '${signer}' --keyring ../secret.gpg; ${pushChart}
        verify="--verify --keyring ../public.gpg --destination pulled"
        helm pull $P oci://$N/quay --version $V $verify | grep 'Signed by: Quay'
        cmp quay-$V.tgz.prov pulled/quay-$V.tgz.prov`)
      const { json } = await published(`${version}/signed/quay`).manifest('0.1.0')
      expect(json.layers.map(({ mediaType }: { mediaType: string }) => mediaType).sort()).toEqual([
        'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
        'application/vnd.cncf.helm.chart.provenance.v1.prov',
      ])
    },
    'gets a dependency from the registry': `V=0.1.0 N=$R/${version}/parts; ${pushChart}
      mkdir harbour; printf 'apiVersion: v2\nname: harbour\nversion: 1.0.0\n' >harbour/Chart.yaml
      printf 'dependencies: [{ name: quay, version: ^0.1.0, repository: "oci://%s" }]\n' $N >>harbour/Chart.yaml
      helm dependency update $P harbour
      is "$(ls harbour/charts)" quay-0.1.0.tgz
      cmp quay-0.1.0.tgz harbour/charts/quay-0.1.0.tgz
      helm template example harbour | grep 'replicas: "3"'`,
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

/** Builds an image of the folder `files` with these labels, in the format `$F`, and pushes it to `$N`. */
const pushFiles = `(echo FROM scratch; sed 's/\\(.*\\): \\(.*\\)/LABEL \\1=\\2/' labels; echo 'COPY files /') >Dockerfile
  buildah build --isolation chroot --quiet --format $F --tag $N .
  buildah push --tls-verify=false $N
  buildah rmi --all --force`

/** Pushes an operator's bundle to `$N`. */
const pushBundle = `mkdir -p files/manifests files/metadata
  cat >labels <<END
${label}.bundle.mediatype.v1: registry+v1
${label}.bundle.manifests.v1: manifests/
${label}.bundle.metadata.v1: metadata/
${label}.bundle.package.v1: harbour
${label}.bundle.channels.v1: stable
${label}.bundle.channel.default.v1: stable
END
  (echo annotations:; sed 's/^/  /' labels) >files/metadata/annotations.yaml
  cat >files/manifests/harbour.clusterserviceversion.yaml <<END
apiVersion: operators.coreos.com/v1alpha1
kind: ClusterServiceVersion
metadata: { name: harbour.v1.0.0 }
spec:
  displayName: Harbour
  version: 1.0.0
  relatedImages: []
  installModes: [{ type: AllNamespaces, supported: true }]
  install: { strategy: deployment, spec: { deployments: [] } }
END
  F=docker; ${pushFiles}; rm -r files`

/** opm: bundles and catalogs of the Operator Lifecycle Manager, which are images that buildah builds from nothing. */
const opm: Client = {
  name: 'opm',
  tools: ['opm', 'buildah'],
  setUp: containersHome,
  cases: {
    async 'renders a bundle'({ registry, sh, published }) {
      const image = `${registry}/operators/bundle:v1.0.0`
      const env = { N: image }
      await sh(pushBundle, { env })
      expect(JSON.parse(await sh('opm render --use-http $N', { env }))).toMatchObject({
        schema: 'olm.bundle',
        image,
        name: 'harbour.v1.0.0',
        relatedImages: [{ name: '', image }],
      })
      await published('operators/bundle').expectTags('v1.0.0')
      await published('operators/bundle').delete('v1.0.0')
      await sh("fails 'not found|[Mm]anifest unknown' opm render --use-http $N", { env })
    },
    'renders a file-based catalog with the bundle': `N=$R/operators/harbour:v1.0.0; ${pushBundle}
      mkdir -p files/configs/harbour; catalog=files/configs/harbour/catalog.json
      opm init harbour --default-channel stable >$catalog
      echo '{"schema":"olm.channel","package":"harbour","name":"stable","entries":[{"name":"harbour.v1.0.0"}]}' >>$catalog
      opm render --use-http $N >>$catalog
      echo '${label}.index.configs.v1: /configs' >labels
      N=$R/operators/catalog:v1 F=oci; ${pushFiles}
      opm validate files/configs
      is "$(opm render --use-http $N)" "$(opm render files/configs)"
      opm render --use-http $N | grep harbour.v1.0.0`,
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

/** WebAssembly in the three formats that registries store. The module has nothing in it. */
const wasm: Client = {
  name: 'wasm',
  tools: ['wasm-to-oci', 'oras', 'crane'],
  cases: {
    async 'is pushed and pulled by wasm-to-oci'({ sh, published }) {
      await sh(`printf '\\0asm\\1\\0\\0\\0' >pushed.wasm
        wasm-to-oci push --use-http pushed.wasm $R/wasm/module:1
        wasm-to-oci pull --use-http $R/wasm/module:1 --out pulled.wasm
        cmp pushed.wasm pulled.wasm`)
      await published('wasm/module').expectTags('1')
      const { json } = await published('wasm/module').manifest('1')
      const types = [json.config.mediaType, json.layers[0].mediaType]
      const type = 'application/vnd.wasm'
      expect(types).toEqual([`${type}.config.v1+json`, `${type}.content.layer.v1+wasm`])
    },
    "is pushed, pulled and deleted by oras as the CNCF's artifact": `N=$R/wasm/component:1
      printf '\\0asm\\1\\0\\0\\0' >pushed.wasm
      echo '{"architecture":"wasm","os":"wasip2","layerDigests":[],"component":{}}' >config.json
      config=config.json:application/vnd.wasm.config.v0+json
      oras push --plain-http $N --config $config pushed.wasm:application/wasm
      oras pull --plain-http --output pulled $N
      cmp pushed.wasm pulled/pushed.wasm
      oras manifest delete --plain-http --force $N
      fails 'not found' oras pull --plain-http $N`,
    async 'is pushed and pulled by crane as an image beside another platform'({ folder, sh }) {
      const files = [{ 'module.wasm': Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0) }]
      const images = [
        await makeImage({ files }),
        await makeImage({ os: 'wasip1', architecture: 'wasm', files }),
      ]
      await writeLayout(join(folder, 'pushed'), makeIndex(images), '1')
      await sh(`N=$R/wasm/image:1; crane push --insecure pushed $N
        for platform in linux/amd64 wasip1/wasm; do
          crane config --insecure --platform $platform $N |
            grep '"architecture":"'$(basename $platform)'","os":"'$(dirname $platform)
        done
        crane pull --insecure --format oci $N pulled; diff -r pushed/blobs pulled/blobs`)
    },
  },
}

testClients(helm('helm3'), helm('helm4'), syft, conftest, opa, opm, flux, wasm)
