import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { artifactKind, artifactTraits } from '../../src/oci/artifact-kind.ts'
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from '../support/content.ts'

const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json'
const EMPTY_CONFIG = 'application/vnd.oci.empty.v1+json'

/** Returns an image manifest with the fields that determine its kind. */
function image(config: string, layers: string[] = [OCI_LAYER], more: object = {}) {
  return { config: { mediaType: config }, layers: layers.map((mediaType) => ({ mediaType })), ...more }
}

function artifact(artifactType: string, layers = ['application/octet-stream'], more: object = {}) {
  return image(EMPTY_CONFIG, layers, { artifactType, ...more })
}

function kindOf(
  document: unknown,
  mediaType = OCI_MANIFEST,
  labels: string[] = [],
  platforms: string[] = [],
) {
  return artifactKind(artifactTraits(document, mediaType, { labels, platforms }))
}

describe('artifact kind by media types', () => {
  const cosign = (layer: string) => image(OCI_CONFIG, [layer])
  test.each<[kind: string, document: unknown]>([
    [
      'Helm chart',
      image('application/vnd.cncf.helm.config.v1+json', [
        'application/vnd.cncf.helm.chart.provenance.v1.prov',
        'application/vnd.cncf.helm.chart.content.v1.tar+gzip',
      ]),
    ],
    ['Helm plugin', artifact('application/vnd.helm.plugin.v1+json')],
    ['cosign signature', cosign('application/vnd.dev.cosign.simplesigning.v1+json')],
    ['cosign signature', image('application/vnd.dev.cosign.artifact.sig.v1+json')],
    ['cosign attestation', cosign('application/vnd.dsse.envelope.v1+json')],
    ['Sigstore bundle', artifact('application/vnd.dev.sigstore.bundle.v0.3+json')],
    ['Notation signature', artifact('application/vnd.cncf.notary.signature', ['application/jose+json'])],
    ['SPDX SBOM', cosign('text/spdx')],
    ['SPDX SBOM', artifact('application/spdx+json')],
    ['CycloneDX SBOM', cosign('application/vnd.cyclonedx+json')],
    ['CycloneDX SBOM', artifact('application/vnd.cyclonedx+json')],
    ['in-toto attestation', image(OCI_CONFIG, ['application/vnd.in-toto+json'])],
    [
      'OPA policy',
      image('application/vnd.unknown.config.v1+json', [
        'application/vnd.cncf.openpolicyagent.policy.layer.v1+rego',
      ]),
    ],
    ['OPA policy', image('application/vnd.cncf.openpolicyagent.config.v1+json')],
    [
      'WASM module',
      image('application/vnd.wasm.config.v1+json', ['application/vnd.wasm.content.layer.v1+wasm']),
    ],
    ['WASM module', image('application/vnd.wasm.config.v0+json', ['application/wasm'])],
    [
      'WASM module',
      image(OCI_CONFIG, [OCI_LAYER], { annotations: { 'module.wasm.image/variant': 'compat' } }),
    ],
    ['Flux artifact', image('application/vnd.cncf.flux.config.v1+json')],
    ['Timoni module', image('application/vnd.timoni.config.v1+json')],
    [
      'Model (ModelPack)',
      image('application/vnd.cncf.model.config.v1+json', ['application/vnd.cncf.model.weight.v1.raw'], {
        artifactType: 'application/vnd.cncf.model.manifest.v1+json',
      }),
    ],
    ['ModelKit (KitOps)', image('application/vnd.kitops.modelkit.config.v1+json')],
    ['Singularity image', artifact('application/vnd.unknown', ['application/vnd.sylabs.sif.layer.v1.sif'])],
    ['BuildKit cache', image('application/vnd.buildkit.cacheconfig.v0')],
    ['Kyverno policy', image('application/vnd.cncf.kyverno.config.v1+json')],
    ['CNAB bundle', image('application/vnd.cnab.config.v1+json')],
    [
      'Tekton bundle',
      {
        ...image(OCI_CONFIG),
        layers: [{ mediaType: OCI_LAYER, annotations: { 'dev.tekton.image.kind': 'task' } }],
      },
    ],
    ['Container image', image(OCI_CONFIG)],
    ['Artifact (application/vnd.example+json)', artifact('application/vnd.example+json')],
    ['Artifact (application/vnd.example+json)', image('application/vnd.example+json')],
    ['Artifact (text/markdown)', image('application/vnd.unknown.config.v1+json', ['text/markdown'])],
    [
      'Artifact (application/vnd.example+json)',
      image(OCI_CONFIG, [], { artifactType: 'application/vnd.example+json' }),
    ],
    ['Artifact', image(EMPTY_CONFIG, [])],
  ])('%s', (kind, document) => expect(kindOf(document)).toBe(kind))

  test('Docker images, in each of its formats', () => {
    expect(kindOf(image(DOCKER_CONFIG), DOCKER_MANIFEST)).toBe('Container image')
    const ollama = image(DOCKER_CONFIG, ['application/vnd.ollama.image.model'])
    expect(kindOf(ollama, DOCKER_MANIFEST)).toBe('Ollama model')
    const plugin = image('application/vnd.docker.plugin.v1+json')
    expect(kindOf(plugin, DOCKER_MANIFEST)).toBe('Docker plugin')
    for (const type of ['prettyjws', 'json']) {
      const mediaType = `application/vnd.docker.distribution.manifest.v1+${type}`
      expect(kindOf({ schemaVersion: 1, fsLayers: [] }, mediaType)).toBe('Docker schema 1 image')
    }
  })
})

describe('artifact kind by labels and platforms', () => {
  const operators = 'operators.operatorframework.io'
  test.each([
    ['Operator bundle', `${operators}.bundle.mediatype.v1`],
    ['Operator catalog', `${operators}.index.configs.v1`],
    ['Operator catalog', `${operators}.index.database.v1`],
    ['Container image', 'maintainer'],
  ])('%s: %s', (kind, label) => expect(kindOf(image(DOCKER_CONFIG), DOCKER_MANIFEST, [label])).toBe(kind))

  test('an image for WASM', () => {
    expect(kindOf(image(OCI_CONFIG), OCI_MANIFEST, [], ['wasip1/wasm'])).toBe('WASM module')
    expect(kindOf(image(OCI_CONFIG), OCI_MANIFEST, [], ['linux/amd64'])).toBe('Container image')
  })
})

describe('artifact kind of an index', () => {
  const child = (os: string, architecture: string, mediaType = OCI_MANIFEST) => ({
    mediaType,
    platform: { os, architecture },
  })
  test.each<[kind: string, document: object]>([
    ['Image index', { manifests: [child('linux', 'amd64'), child('unknown', 'unknown')] }],
    ['Image index', { manifests: [] }],
    ['Image index', { manifests: [child('linux', 'amd64'), child('wasi', 'wasm')] }],
    ['WASM module', { manifests: [child('wasi', 'wasm'), child('unknown', 'unknown')] }],
    [
      'BuildKit cache',
      { manifests: [{ mediaType: OCI_LAYER }, { mediaType: 'application/vnd.buildkit.cacheconfig.v0' }] },
    ],
    ['CNAB bundle', { manifests: [], annotations: { 'io.cnab.runtime_version': 'v1.0.0' } }],
    [
      'Artifact (application/vnd.example)',
      { manifests: [child('linux', 'amd64')], artifactType: 'application/vnd.example' },
    ],
  ])('%s', (kind, document) => {
    expect(kindOf(document, OCI_INDEX)).toBe(kind)
    expect(kindOf(document, DOCKER_LIST)).toBe(kind)
  })
})

test('artifact kind: any document has one', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), (document, mediaType) => {
      expect(kindOf(document, mediaType)).not.toBe('')
    }),
  )
})
