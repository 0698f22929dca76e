import { deepEqual, equal, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import type { CaseContext, Client } from '../client.ts'
import { containersHome } from '../containers/containers-home.ts'
import { Published } from '../published.ts'

const labels = 'operators.operatorframework.io'

const annotations = {
  [`${labels}.bundle.mediatype.v1`]: 'registry+v1',
  [`${labels}.bundle.manifests.v1`]: 'manifests/',
  [`${labels}.bundle.metadata.v1`]: 'metadata/',
  [`${labels}.bundle.package.v1`]: 'harbour',
  [`${labels}.bundle.channels.v1`]: 'stable',
  [`${labels}.bundle.channel.default.v1`]: 'stable',
}

const clusterServiceVersion = {
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

/** opm: bundles and catalogs of the Operator Lifecycle Manager, which are images that buildah builds from nothing. */
export const operators: Client = {
  name: 'opm',
  tools: ['opm', 'buildah'],
  setUp: containersHome,
  cases: {
    async 'render of a bundle'(context) {
      const { registry, run } = context
      const name = await pushBundle(context, 'operators/bundle')
      const rendered = JSON.parse(await run`opm render --use-http ${name}`)
      equal(rendered.schema, 'olm.bundle')
      equal(rendered.image, name)
      equal(rendered.name, 'harbour.v1.0.0')
      deepEqual(rendered.relatedImages, [{ name: '', image: name }])
      const published = new Published(registry, 'operators/bundle')
      await published.expectTags('v1.0.0')
      await published.delete('v1.0.0')
      await rejects(run`opm render --use-http ${name}`, /not found|manifest unknown/i)
    },
    async 'render of a file-based catalog with the bundle'(context) {
      const { registry, folder, run } = context
      const bundle = await run`opm render --use-http ${await pushBundle(context, 'operators/harbour')}`
      const channel = {
        schema: 'olm.channel',
        package: 'harbour',
        name: 'stable',
        entries: [{ name: 'harbour.v1.0.0' }],
      }
      const catalog = [await run`opm init harbour --default-channel stable`, JSON.stringify(channel), bundle]
      await run`rm --recursive files`
      const files = { 'configs/harbour/catalog.json': catalog.join('\n') }
      const name = `${registry}/operators/catalog:v1`
      await pushImage(context, name, { files, labels: { [`${labels}.index.configs.v1`]: '/configs' } }, 'oci')
      await run`opm validate ${join(folder, 'files', 'configs')}`
      const rendered = await run`opm render --use-http ${name}`
      equal(rendered, await run`opm render ${join(folder, 'files', 'configs')}`)
    },
  },
}

/** Builds an image of a folder and its labels, and pushes it as a Docker or an OCI image. */
async function pushImage(
  { folder, run }: CaseContext,
  name: string,
  source: { files: Record<string, string>; labels: Record<string, string> },
  format: 'docker' | 'oci',
): Promise<void> {
  for (const [path, text] of Object.entries(source.files)) await Bun.write(join(folder, 'files', path), text)
  const lines = Object.entries(source.labels).map(([label, value]) => `LABEL ${label}=${value}`)
  await Bun.write(join(folder, 'Dockerfile'), ['FROM scratch', ...lines, 'COPY files /', ''].join('\n'))
  await run`buildah build --isolation chroot --quiet --format ${format} --tag ${name} .`
  await run`buildah push --tls-verify=false ${name}`
  await run`buildah rmi --all --force`
}

async function pushBundle(context: CaseContext, repository: string): Promise<string> {
  const name = `${context.registry}/${repository}:v1.0.0`
  const files = {
    'manifests/harbour.clusterserviceversion.yaml': JSON.stringify(clusterServiceVersion),
    'metadata/annotations.yaml': JSON.stringify({ annotations }),
  }
  await pushImage(context, name, { files, labels: annotations }, 'docker')
  return name
}
