import * as made from './content.ts'

/** The content of a fixture's data folder. It never changes, because existing fixtures are never regenerated. */
export interface FixtureContent {
  blobs: (made.Named & { repository: string })[]
  manifests: { repository: string; reference: string; type: string; bytes: Uint8Array<ArrayBuffer> }[]
  /** Paths of content that was pushed and then deleted. */
  deleted: string[]
  /** An upload with the number of bytes received. */
  upload: made.Named & { repository: string; received: number }
}

const { EMPTY, OCI_MANIFEST, OCI_INDEX, descriptor, named } = made

/** Returns the content, which is the same at each call. */
export function fixtureContent(): FixtureContent {
  const layer = named('a layer of the fixture')
  const sha512 = made.digestOf(layer.bytes, 'sha512')
  const image = made.imageManifest(EMPTY, [layer])
  const index = made.imageIndex([descriptor(image, OCI_MANIFEST)])
  const subject = descriptor(image, OCI_MANIFEST)
  const referrer = made.imageManifest(EMPTY, [], {
    artifactType: 'application/x.sbom',
    subject,
    annotations: { a: 'b' },
  })
  const old = made.imageManifest(EMPTY, [], { annotations: { is: 'deleted' } })
  const manifests = [
    ['library/app', 'v1', OCI_MANIFEST, image],
    ['library/app', `${made.digestOf(image.bytes, 'sha512')}?tag=v1-sha512`, OCI_MANIFEST, image],
    ['library/app', 'latest', OCI_INDEX, index],
    ['library/app', referrer.digest, OCI_MANIFEST, referrer],
    ['library/app', 'old', OCI_MANIFEST, old],
    ['other', 'v1', OCI_MANIFEST, image],
  ] as const
  return {
    blobs: [
      { repository: 'library/app', ...EMPTY },
      { repository: 'library/app', ...layer },
      { repository: 'library/app', ...layer, digest: sha512 },
      { repository: 'other', ...EMPTY },
      { repository: 'other', ...layer },
    ],
    manifests: manifests.map(([repository, reference, type, { bytes }]) => ({
      repository,
      reference,
      type,
      bytes,
    })),
    deleted: [`/v2/library/app/manifests/${old.digest}`],
    upload: {
      repository: 'library/app',
      ...named('an upload in progress, and the rest of it'),
      received: 21,
    },
  }
}
