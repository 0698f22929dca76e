import { type Json, objectOf, objectsOf, stringOf } from './image-config.ts'
import { isImageConfig, isIndex } from './manifest.ts'

/** The properties that distinguish kinds of artifacts. They never decide whether a manifest is accepted. */
export interface ArtifactTraits {
  /** The media type of the manifest. */
  mediaType: string
  artifactType: string | undefined
  configType: string | undefined
  /** The media types of its layers, or of an index's entries. */
  entryTypes: readonly string[]
  /** The names of its annotations, its layers' annotations, and its labels. */
  labels: readonly string[]
  /** `os/architecture` from an index or an image's config. */
  platforms: readonly string[]
}

/** Matches an artifact with one of its types or labels, or of its platforms only. A final `*` matches by prefix. */
interface Kind {
  name: string
  manifest?: string[]
  /** An artifact type, or the media type of the config. */
  type?: string[]
  entry?: string[]
  /** A type, or that of an entry. */
  any?: string[]
  label?: string[]
  platform?: string[]
}

const COSIGN = 'application/vnd.dev.cosign'
const OPERATOR = 'operators.operatorframework.io'

/** The first matching row names the kind, so rows for things built on images come before the image. */
const KINDS: readonly Kind[] = [
  { name: 'Docker schema 1 image', manifest: ['application/vnd.docker.distribution.manifest.v1+*'] },
  {
    name: 'Helm chart',
    type: ['application/vnd.cncf.helm.config.v1+json'],
    entry: ['application/vnd.cncf.helm.chart.content.v1.tar+gzip'],
  },
  { name: 'Helm provenance', entry: ['application/vnd.cncf.helm.chart.provenance.v1.prov'] },
  { name: 'Helm plugin', type: ['application/vnd.helm.plugin.v1+json'] },
  { name: 'Sigstore bundle', type: ['application/vnd.dev.sigstore.bundle*'] },
  {
    name: 'cosign signature',
    type: [`${COSIGN}.artifact.sig.v1+json`],
    entry: [`${COSIGN}.simplesigning.v1+json`],
  },
  {
    name: 'cosign attestation',
    type: [`${COSIGN}.artifact.att.v1+json`],
    entry: ['application/vnd.dsse.envelope.v1+json'],
  },
  { name: 'Notation signature', type: ['application/vnd.cncf.notary.signature*'] },
  { name: 'SPDX SBOM', any: ['application/spdx*', 'text/spdx*', 'application/vnd.spdx*'] },
  { name: 'CycloneDX SBOM', any: ['application/vnd.cyclonedx*', 'application/cyclonedx*'] },
  { name: 'Syft SBOM', any: ['application/vnd.syft+json'] },
  { name: 'SBOM', type: [`${COSIGN}.artifact.sbom.v1+json`] },
  { name: 'in-toto attestation', any: ['application/vnd.in-toto*'] },
  { name: 'SARIF report', any: ['application/sarif+json'] },
  { name: 'OpenVEX document', type: ['application/vex+json', 'application/vnd.openvex*'] },
  { name: 'OPA policy', any: ['application/vnd.cncf.openpolicyagent.*'] },
  { name: 'Kyverno policy', any: ['application/vnd.cncf.kyverno.*'] },
  {
    name: 'WASM module',
    type: ['application/vnd.wasm.config.*', 'application/vnd.wasm.content.*'],
    entry: ['application/vnd.wasm.content.layer.*', 'application/wasm', 'application/vnd.bytecodealliance.*'],
    label: ['module.wasm.image/variant'],
    platform: ['wasi/wasm*', 'wasip1/wasm*', 'wasip2/wasm*', 'js/wasm*'],
  },
  { name: 'Spin application', type: ['application/vnd.fermyon.spin.application.*'] },
  {
    name: 'Flux artifact',
    type: ['application/vnd.cncf.flux.*'],
    entry: ['application/vnd.cncf.flux.content.*'],
  },
  { name: 'Timoni module', type: ['application/vnd.timoni.*'], entry: ['application/vnd.timoni.content.*'] },
  { name: 'Model (ModelPack)', type: ['application/vnd.cncf.model.*'] },
  { name: 'ModelKit (KitOps)', type: ['application/vnd.kitops.modelkit.*'] },
  { name: 'Ollama model', entry: ['application/vnd.ollama.image.*'] },
  { name: 'Singularity image', any: ['application/vnd.sylabs.sif.*'] },
  { name: 'BuildKit cache', any: ['application/vnd.buildkit.cacheconfig.*'] },
  { name: 'SOCI index', type: ['application/vnd.amazon.soci.index.*'] },
  {
    name: 'CNAB bundle',
    type: ['application/vnd.cnab.*'],
    label: ['io.cnab.runtime_version', 'io.cnab.manifest.type'],
  },
  { name: 'Tekton bundle', label: ['dev.tekton.image.kind', 'dev.tekton.image.name'] },
  { name: 'Crossplane package', label: ['io.crossplane.xpkg'] },
  { name: 'imgpkg bundle', label: ['dev.carvel.imgpkg.bundle'] },
  { name: 'Homebrew bottle', label: ['sh.brew.bottle.digest'] },
  {
    name: 'Operator bundle',
    label: [`${OPERATOR}.bundle.mediatype.v1`, `${OPERATOR}.bundle.manifests.v1`],
  },
  {
    name: 'Operator catalog',
    label: [`${OPERATOR}.index.configs.v1`, `${OPERATOR}.index.database.v1`],
  },
  { name: 'Docker plugin', type: ['application/vnd.docker.plugin.*'] },
]

/** Types that say nothing about what an artifact is. */
const MEANINGLESS = [
  'application/vnd.oci.empty.v1+json',
  'application/vnd.unknown.config.v1+json',
  'application/vnd.unknown.artifact.v1',
]

/** Returns a manifest's kind in words: "Helm chart", "Container image", or "Artifact (its type)" when unknown. */
export function artifactKind(traits: ArtifactTraits): string {
  const known = KINDS.find((kind) => fits(kind, traits))
  if (known) return known.name
  const { mediaType, artifactType, configType } = traits
  const isNamed = artifactType !== undefined && !isImageConfig(artifactType)
  if (!isNamed && isIndex(mediaType)) return 'Image index'
  if (!isNamed && configType !== undefined && isImageConfig(configType)) return 'Container image'
  const entries = isIndex(mediaType) ? [] : traits.entryTypes
  const type = [artifactType, configType, ...entries].find(
    (one) => one !== undefined && !MEANINGLESS.includes(one),
  )
  return type === undefined ? 'Artifact' : `Artifact (${type})`
}

/**
 * Returns the traits of a stored manifest from its JSON. Malformed parts count as absent.
 *
 * @param more the names of labels and the platform from its config, if that was read
 */
export function artifactTraits(
  document: unknown,
  mediaType: string,
  more: { labels?: readonly string[]; platforms?: readonly string[] } = {},
): ArtifactTraits {
  const manifest = objectOf(document)
  const entries = ['layers', 'blobs', 'manifests'].flatMap((name) => objectsOf(manifest[name]))
  const config = objectOf(manifest.config)
  return {
    mediaType,
    artifactType: stringOf(manifest.artifactType) ?? stringOf(config.artifactType),
    configType: stringOf(config.mediaType),
    entryTypes: entries.flatMap(({ mediaType }) => stringOf(mediaType) ?? []),
    labels: [
      ...Object.keys(objectOf(manifest.annotations)),
      ...entries.flatMap(({ annotations }) => Object.keys(objectOf(annotations))),
      ...(more.labels ?? []),
    ],
    platforms: [
      ...entries.flatMap(({ platform }) => platformOf(objectOf(platform))),
      ...(more.platforms ?? []),
    ],
  }
}

function fits(kind: Kind, traits: ArtifactTraits): boolean {
  return (
    hasAny(kind.manifest, [traits.mediaType]) ||
    hasAny(kind.type ?? kind.any, [traits.artifactType, traits.configType]) ||
    hasAny(kind.entry ?? kind.any, traits.entryTypes) ||
    hasAny(kind.label, traits.labels) ||
    (traits.platforms.length > 0 && traits.platforms.every((one) => hasAny(kind.platform, [one])))
  )
}

function hasAny(patterns: string[] | undefined, values: readonly (string | undefined)[]): boolean {
  if (patterns === undefined) return false
  return values.some((value) => value !== undefined && patterns.some((pattern) => isLike(pattern, value)))
}

function isLike(pattern: string, value: string): boolean {
  return pattern.endsWith('*') ? value.startsWith(pattern.slice(0, -1)) : value === pattern
}

/** Attestations have the platform unknown/unknown. */
function platformOf({ os, architecture }: Json): string[] {
  return stringOf(os) === undefined || os === 'unknown' ? [] : [`${os}/${architecture}`]
}
