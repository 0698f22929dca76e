import { expect } from 'bun:test'
import { join } from 'node:path'
import { type Content, makeImage, makeIndex, makePlatforms } from '../../scripts/lib/image.ts'
import { type Case, type Client, testClients } from './client.ts'

/**
 * cosign stores signatures and attestations of an image under tags by default in version 2, and as referrers in version
 * 3; notation (Notary Project) as referrers, or under the tag of the referrers tag schema.
 */

/** How signatures are kept in a registry, and the flags for it. */
interface Scheme {
  /** Also for attestations. */
  flags: string
  sign?: string
  verify?: string
  /** The artifact types of the referrers of a signature and of an attestation. Empty if they are stored under tags. */
  referrers: string[]
  /** The suffixes of their tags. */
  tags: string[]
}

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const schemes = {
  tags: { flags: '--new-bundle-format=false', referrers: [], tags: ['.att', '.sig'] },
  referrers: {
    flags: '--new-bundle-format=false',
    sign: '--registry-referrers-mode=oci-1-1',
    verify: '--experimental-oci11=true',
    referrers: ['application/vnd.dev.cosign.artifact.sig.v1+json'],
    tags: ['.att'],
  },
  bundles: {
    flags: '--new-bundle-format=true',
    // A trusted root without any authority, instead of a downloaded one.
    verify: '--trusted-root trusted-root.json',
    referrers: [bundleType, bundleType],
    tags: [],
  },
} satisfies Record<string, Scheme>

/** Pushes an image, creates a key pair, and returns the commands that sign and verify the image in this way. */
async function prepare(
  { registry, sh, published }: Case,
  repository: string,
  scheme: Scheme,
  content?: Content,
) {
  const pushed = content ?? (await makeImage({ layerBytes: 1000 }))
  await published(repository).push('1', pushed)
  await sh(`cosign generate-key-pair
    cosign trusted-root create --out trusted-root.json
    echo '{"checked":true}' >predicate.json`)
  const { digest } = pushed.descriptor
  const image = `${registry}/${repository}@${digest}`
  const offline = '--tlog-upload=false --use-signing-config=false --yes'
  const signed = `--key cosign.key --allow-http-registry ${offline} ${scheme.flags}`
  const plain = '--allow-http-registry --insecure-ignore-tlog'
  const verified = `--key cosign.pub ${plain} ${scheme.flags} ${scheme.verify ?? ''}`
  return {
    digest,
    image,
    sign: (flags = '') => sh(`cosign sign ${signed} ${scheme.sign ?? ''} ${flags} ${image}`),
    attest: () => sh(`cosign attest ${signed} --type custom --predicate predicate.json ${image}`),
    verify: (name = image) => sh(`cosign verify ${verified} ${name}`),
    verifyAttestation: (name = image) => sh(`cosign verify-attestation ${verified} --type custom ${name}`),
  }
}

async function signImage(at: Case, version: string, kind: keyof typeof schemes): Promise<void> {
  const scheme: Scheme = schemes[kind]
  const { digest, image, ...cosign } = await prepare(at, `${version}/${kind}`, scheme)
  const published = at.published(`${version}/${kind}`)
  const none = /no (matching |)signatures|no valid bundles/
  await expect(cosign.verify()).rejects.toThrow(none)
  await cosign.sign()
  expect(JSON.parse(await cosign.verify())[0].critical.image['docker-manifest-digest']).toBe(digest)
  await cosign.attest()
  const { payload } = JSON.parse(await cosign.verifyAttestation())
  const statement = JSON.parse(Buffer.from(payload, 'base64').toString())
  expect(`sha256:${statement.subject[0].digest.sha256}`).toBe(digest)
  const types = (await published.referrers(digest)).map(({ artifactType }) => artifactType ?? '')
  expect(types).toEqual(scheme.referrers)
  await published.expectTags('1', ...scheme.tags.map((end) => digest.replace(':', '-') + end))
  const tree = `--allow-http-registry ${version === 'cosign2' ? '--experimental-oci11=true' : ''}`
  expect(await at.sh(`cosign tree ${tree} ${image}`)).toContain('🍒 sha256:')
  await at.sh(`cosign clean --force --allow-http-registry ${image}`)
  // It deletes only bundles among the referrers, and only since version 3.
  const left = await published.referrers(digest)
  expect(left).toHaveLength(version === 'cosign3' && kind === 'bundles' ? 0 : scheme.referrers.length)
  for (const referrer of left) await published.delete(referrer.digest)
  await expect(cosign.verify()).rejects.toThrow(none)
  await published.expectTags('1')
}

async function signIndex(at: Case, version: string): Promise<void> {
  const images = await makePlatforms({ layerBytes: 1000 })
  const index = makeIndex(images)
  const { image, verify, sign } = await prepare(at, `${version}/index`, schemes.bundles, index)
  await sign('--recursive')
  for (const { descriptor } of [index, ...images]) await verify(image.replace(/sha256:.*/, descriptor.digest))
}

async function copy(at: Case, version: string): Promise<void> {
  const { image, digest, ...cosign } = await prepare(at, `${version}/source`, schemes.tags)
  await cosign.sign()
  await cosign.attest()
  const [target, loaded] = ['target', 'loaded'].map((name) => `${at.registry}/${version}/${name}`)
  await at.sh(`cosign copy --allow-http-registry ${image} ${target}:1
    cosign save --allow-http-registry --dir saved ${image}
    cosign load --allow-http-registry --dir saved ${loaded}:1`)
  await cosign.verify(`${target}@${digest}`)
  await cosign.verifyAttestation(`${target}@${digest}`)
  await cosign.verify(`${loaded}@${digest}`)
}

const cosign = (version: 'cosign2' | 'cosign3'): Client => ({
  name: version,
  tools: [version],
  setUp: async () => ({ env: { COSIGN_PASSWORD: 'for a test', COSIGN_EXPERIMENTAL: '1' } }),
  cases: {
    'signs, attests, verifies and cleans under tags': (at) => signImage(at, version, 'tags'),
    'signs, attests, verifies and cleans with referrers': (at) => signImage(at, version, 'referrers'),
    'signs, attests, verifies and cleans bundles': (at) => signImage(at, version, 'bundles'),
    'signs and verifies each image of an index': (at) => signIndex(at, version),
    'copies, saves and loads with signatures and attestations': (at) => copy(at, version),
  },
})

async function prepareNotation({ registry, folder, sh, published }: Case, name: string) {
  const image = await makeImage({ layerBytes: 1000 })
  const { digest } = image.descriptor
  await published(`notation/${name}`).push('1', image)
  const identity = `${name}.example.org`
  const policy = {
    name: 'test',
    registryScopes: ['*'],
    signatureVerification: { level: 'strict' },
    trustStores: [`ca:${identity}`],
    trustedIdentities: ['*'],
  }
  await Bun.write(join(folder, 'policy.json'), JSON.stringify({ version: '1.0', trustPolicies: [policy] }))
  await sh(`notation cert generate-test ${identity}; notation policy import --force policy.json`)
  const notation = (command: string) =>
    sh(`notation ${command} --insecure-registry ${registry}/notation/${name}@${digest}`)
  const sign = (flags: string) => notation(`sign --key ${identity} ${flags}`)
  return { digest, notation, sign }
}

async function signTwice(at: Case, format: 'jws' | 'cose'): Promise<void> {
  const { digest, notation, sign } = await prepareNotation(at, format)
  const published = at.published(`notation/${format}`)
  const signatures = () => published.referrers(digest, 'application/vnd.cncf.notary.signature')
  await expect(notation('verify')).rejects.toThrow('no signature is associated')
  for (const count of [1, 2]) {
    await sign(`--force-referrers-tag=false --signature-format ${format}`)
    expect(await signatures()).toHaveLength(count)
  }
  await published.expectTags('1')
  expect(await notation('verify')).toContain('Successfully verified')
  const listed = await notation('list')
  expect(JSON.parse(await notation('inspect --output json')).Signatures).toHaveLength(2)
  for (const signature of await signatures()) {
    expect(listed).toContain(signature.digest)
    await published.delete(signature.digest)
  }
  await expect(notation('verify')).rejects.toThrow('no signature is associated')
}

const notation: Client = {
  name: 'notation',
  tools: ['notation'],
  setUp: async (home) => ({ env: { XDG_CONFIG_HOME: join(home, 'config') } }),
  cases: {
    'signs, lists, inspects and verifies by referrers': (at) => signTwice(at, 'jws'),
    'signs with COSE': (at) => signTwice(at, 'cose'),
    async 'signs and verifies by the referrers tag schema'(at) {
      const { digest, notation, sign } = await prepareNotation(at, 'tags')
      await sign('--force-referrers-tag=true')
      await at.published('notation/tags').expectTags('1', digest.replace(':', '-'))
      expect(await notation('verify')).toContain('Successfully verified')
    },
  },
}

testClients(cosign('cosign2'), cosign('cosign3'), notation)
