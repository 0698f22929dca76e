import { commit } from '../lib/bundle.ts'
import { npmPackages, runtime } from './components.ts'
import type { DebianPackage } from './debian-base.ts'

/** The media type of in-toto statements, of which SLSA provenance is one. */
export const provenanceMediaType = 'application/vnd.in-toto+json'

/** Returns the SLSA provenance of an image: what it was built from, and by what. */
export function provenanceOf(digest: string, packages: readonly DebianPackage[]): string {
  const debian = packages.map(({ name, version, architecture, sha256 }) => ({
    uri: `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`,
    digest: { sha256 },
  }))
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'cay', digest: { sha256: digest.replace('sha256:', '') } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'urn:cay:image',
        externalParameters: { command: 'bun run image' },
        resolvedDependencies: [
          { uri: 'urn:cay:source', digest: { gitCommit: commit() } },
          { uri: `pkg:npm/bun@${runtime().version}` },
          { uri: 'bun.lock', digest: { sha256: npmPackages() } },
          ...debian,
        ],
      },
      runDetails: { builder: { id: 'urn:cay:scripts/image.ts' } },
    },
  }
  return `${JSON.stringify(statement, undefined, 2)}\n`
}
