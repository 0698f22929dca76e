import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { newSigningKey, readSigningKey } from '../../src/docker/signed-document.ts'
import { RegistryError, registryError } from '../../src/oci/error.ts'
import { accepts, isIndex, parseAccept } from '../../src/oci/manifest.ts'
import { type Digest, parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { ContentReader } from '../../src/registry/content-reader.ts'
import { Conversions, NegotiatedManifests, type SentManifest } from '../../src/registry/pulls.ts'
import type { Manifests, Registry, StoredManifest } from '../../src/registry/registry.ts'
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  descriptor,
  imageIndex,
  json,
  type Named,
  named,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from '../support/content.ts'

const SIGNED = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
const UNSIGNED = 'application/vnd.docker.distribution.manifest.v1+json'
const OLD = 'docker/1.9.1 go/go1.4.2'

const config = json({ rootfs: {}, history: [{}] })
const imageOf = (type: string) =>
  json({ config: descriptor(config, type), layers: [descriptor(named('layer'), OCI_LAYER)] })
const image = imageOf(OCI_CONFIG)
const artifact = imageOf('application/vnd.example')
const indexOf = (child: Named) =>
  imageIndex([descriptor(child, OCI_MANIFEST, { platform: { os: 'linux', architecture: 'amd64' } })])

/** Kinds of stored manifests, and whether each can be converted. */
const STORED: [type: string, manifest: Named, isConvertible: boolean][] = [
  [OCI_MANIFEST, image, true],
  [DOCKER_MANIFEST, image, true],
  [OCI_MANIFEST, artifact, false],
  ['application/vnd.example+json', json({ anything: [1] }), false],
  [OCI_INDEX, indexOf(image), true],
  [DOCKER_LIST, indexOf(image), true],
  [OCI_INDEX, indexOf(artifact), false],
  [OCI_INDEX, indexOf(named('not here')), false],
  [OCI_INDEX, imageIndex([]), false],
]

function storedAs([mediaType, { bytes, digest }]: (typeof STORED)[number]): StoredManifest {
  return { digest: parseDigest(digest), mediaType, bytes }
}

/** Returns a registry whose only tag names this manifest, with the images its index may reference. */
function pullsOf(stored: StoredManifest, setting: 'auto' | 'always' | 'never'): NegotiatedManifests {
  const children = [image, artifact].map(({ digest, bytes }) => ({
    digest: parseDigest(digest),
    mediaType: OCI_MANIFEST,
    bytes,
  }))
  const manifests: Pick<Manifests, 'get'> = {
    async get(_, { digest }) {
      if (digest === undefined) return stored
      const found = children.find((child) => child.digest === digest)
      if (found === undefined) throw registryError('MANIFEST_UNKNOWN')
      return found
    },
  }
  const blobs = {
    open: async () => ({ size: config.bytes.length, read: async () => ({ bytes: config.bytes }) }),
  }
  const key = readSigningKey(newSigningKey())
  const kept = new Set<Digest>()
  const store = {
    find: async (_: unknown, digest: Digest) =>
      kept.has(digest) ? { manifest: digest, tag: parseTag('t') } : undefined,
    put: async (_: unknown, __: unknown, { digest }: { digest: Digest }) => {
      kept.add(digest)
    },
    signingKey: async () => key,
  }
  const conversions = new Conversions(
    { manifests, blobs } as unknown as Registry,
    store,
    new ContentReader(),
    () => 0,
  )
  return new NegotiatedManifests(manifests, conversions, setting)
}

const types = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, SIGNED, UNSIGNED]
const entries = fc.constantFrom(
  ...types,
  'application/json',
  'text/html',
  'application/*',
  '*/*',
  `${SIGNED};q=0`,
  '',
)
const headers = fc.option(
  fc.oneof(
    fc.array(entries, { maxLength: 5 }).map((list) => list.join(', ')),
    fc.string(),
  ),
)

test('pulls: for every stored manifest and every client, what is sent follows from what the client accepts', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...STORED),
      headers,
      fc.constantFrom(null, 'curl/8', OLD, 'docker/1.10.0'),
      fc.constantFrom('auto', 'always', 'never'),
      async (kind, header, agent, setting) => {
        const stored = storedAs(kind)
        const client = { accept: header, userAgent: () => agent }
        const accept = parseAccept(header)
        const namesSchema1 = accept.types.has(SIGNED) || accept.types.has(UNSIGNED)
        let sent: SentManifest
        try {
          sent = await pullsOf(stored, setting).get(parseRepositoryName('a'), { tag: parseTag('t') }, client)
        } catch (error) {
          // Only a client that reads nothing but schema 1 is refused, and only if the image cannot be converted.
          expect(error).toBeInstanceOf(RegistryError)
          expect([(error as RegistryError).status, kind[2], setting === 'never']).toEqual([404, false, false])
          expect(namesSchema1 || agent === OLD).toBe(true)
          return
        }
        const isStored = sent.digest === stored.digest && sent.mediaType === stored.mediaType
        if (accepts(accept, stored.mediaType)) expect(isStored).toBe(true)
        if (isStored) {
          expect([sent.bytes, sent.warning]).toEqual([stored.bytes, undefined])
        } else if (sent.warning === undefined) {
          expect([isIndex(stored.mediaType), accepts(accept, sent.mediaType)]).toEqual([true, true])
        } else {
          expect([kind[2], setting === 'never']).toEqual([true, false])
          expect([SIGNED, UNSIGNED]).toContain(sent.mediaType)
          expect(namesSchema1 || agent === OLD || setting === 'always').toBe(true)
          if (sent.mediaType === UNSIGNED) expect([...accept.types]).toContain(UNSIGNED)
        }
      },
    ),
    { numRuns: 1000 },
  )
}, 60_000)
