import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { type Content, makeImage, makeIndex, makePlatforms } from '../../lib/image.ts'
import { Registry } from '../../lib/registry.ts'
import type { CaseContext, Client } from '../client.ts'
import { Published } from '../published.ts'

/** cosign: signatures and attestations of an image. Version 2 stores them under tags by default, and version 3 as referrers. */
export const cosign2 = cosign('cosign2')
export const cosign3 = cosign('cosign3')

/** How signatures are kept in a registry, and the flags for it. */
interface Scheme {
  /** Also for attestations. */
  flags: string[]
  sign?: string[]
  verify?: string[]
  /** The artifact types of the referrers of a signature and of an attestation. Empty if they are stored under tags. */
  referrers: string[]
  /** The suffixes of their tags. */
  tags: string[]
}

const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const schemes: Record<'tags' | 'referrers' | 'bundles', Scheme> = {
  tags: {
    flags: ['--new-bundle-format=false'],
    referrers: [],
    tags: ['.att', '.sig'],
  },
  referrers: {
    flags: ['--new-bundle-format=false'],
    sign: ['--registry-referrers-mode=oci-1-1'],
    verify: ['--experimental-oci11=true'],
    referrers: ['application/vnd.dev.cosign.artifact.sig.v1+json'],
    tags: ['.att'],
  },
  bundles: {
    flags: ['--new-bundle-format=true'],
    // A trusted root without any authority, instead of a downloaded one.
    verify: ['--trusted-root', 'trusted-root.json'],
    referrers: [bundleType, bundleType],
    tags: [],
  },
}

function cosign(name: 'cosign2' | 'cosign3'): Client {
  return {
    name,
    tools: [name],
    async setUp() {
      return { env: { COSIGN_PASSWORD: 'for a test', COSIGN_EXPERIMENTAL: '1' } }
    },
    cases: {
      'sign, attest, verify and clean under tags': (context) => signImage(context, name, 'tags'),
      'sign, attest, verify and clean with referrers': (context) => signImage(context, name, 'referrers'),
      'sign, attest, verify and clean of bundles': (context) => signImage(context, name, 'bundles'),
      'sign and verify each image of an index': (context) => signIndex(context, name),
      'copy with signatures and attestations': (context) => copy(context, name),
      'save and load': (context) => saveAndLoad(context, name),
    },
  }
}

/** Pushes an image, creates a key pair, and returns the commands that sign and verify the image in this way. */
async function prepare(context: CaseContext, repository: string, scheme: Scheme, content?: Content) {
  const { registry, run } = context
  const pushed = content ?? (await makeImage({ layerBytes: 1000 }))
  await new Registry(registry).pushContent(repository, '1', pushed)
  await run`cosign generate-key-pair`
  await run`cosign trusted-root create --out trusted-root.json`
  await Bun.write(join(context.folder, 'predicate.json'), '{"checked":true}')
  const { digest } = pushed.descriptor
  const image = `${registry}/${repository}@${digest}`
  const plain = '--allow-http-registry'
  const offline = ['--tlog-upload=false', '--use-signing-config=false', '--yes']
  const signed = ['--key', 'cosign.key', plain, ...offline, ...scheme.flags]
  const verified = [
    '--key',
    'cosign.pub',
    plain,
    '--insecure-ignore-tlog',
    ...scheme.flags,
    ...(scheme.verify ?? []),
  ]
  const custom = ['--type', 'custom']
  return {
    digest,
    image,
    published: new Published(registry, repository),
    sign: (...flags: string[]) => run`cosign sign ${signed} ${scheme.sign ?? []} ${flags} ${image}`,
    attest: () => run`cosign attest ${signed} ${custom} --predicate predicate.json ${image}`,
    verify: (name = image) => run`cosign verify ${verified} ${name}`,
    verifyAttestation: (name = image) => run`cosign verify-attestation ${verified} ${custom} ${name}`,
  }
}

async function signImage(context: CaseContext, name: string, kind: keyof typeof schemes): Promise<void> {
  const scheme = schemes[kind]
  const { digest, image, published, ...commands } = await prepare(context, `${name}/${kind}`, scheme)
  await rejects(commands.verify(), /no (matching |)signatures|no valid bundles/)
  await commands.sign()
  equal(JSON.parse(await commands.verify())[0].critical.image['docker-manifest-digest'], digest)
  await commands.attest()
  const envelope = JSON.parse(await commands.verifyAttestation())
  const statement = JSON.parse(Buffer.from(envelope.payload, 'base64').toString())
  equal(`sha256:${statement.subject[0].digest.sha256}`, digest)
  const types = (await published.referrers(digest)).map(({ artifactType }) => artifactType)
  deepEqual(types, scheme.referrers)
  await published.expectTags('1', ...scheme.tags.map((end) => digest.replace(':', '-') + end))
  const tree = ['--allow-http-registry', ...(name === 'cosign2' ? ['--experimental-oci11=true'] : [])]
  match(await context.run`cosign tree ${tree} ${image}`, /🍒 sha256:/)
  await context.run`cosign clean --force --allow-http-registry ${image}`
  // It deletes only bundles among the referrers, and only since version 3.
  const left = await published.referrers(digest)
  equal(left.length, name === 'cosign3' && kind === 'bundles' ? 0 : scheme.referrers.length)
  for (const referrer of left) await published.delete(referrer.digest)
  await rejects(commands.verify(), /no (matching |)signatures|no valid bundles/)
  await published.expectTags('1')
}

async function signIndex(context: CaseContext, name: string): Promise<void> {
  const images = await makePlatforms()
  const index = makeIndex(images)
  const { image, verify, sign } = await prepare(context, `${name}/index`, schemes.bundles, index)
  await sign('--recursive')
  for (const { descriptor } of [index, ...images]) await verify(image.replace(/sha256:.*/, descriptor.digest))
}

async function copy(context: CaseContext, name: string): Promise<void> {
  const { image, digest, ...commands } = await prepare(context, `${name}/source`, schemes.tags)
  await commands.sign()
  await commands.attest()
  const target = `${context.registry}/${name}/target`
  await context.run`cosign copy --allow-http-registry ${image} ${target}:1`
  await commands.verify(`${target}@${digest}`)
  await commands.verifyAttestation(`${target}@${digest}`)
}

async function saveAndLoad(context: CaseContext, name: string): Promise<void> {
  const { image, digest, ...commands } = await prepare(context, `${name}/saved`, schemes.tags)
  await commands.sign()
  await context.run`cosign save --allow-http-registry --dir saved ${image}`
  const target = `${context.registry}/${name}/loaded`
  await context.run`cosign load --allow-http-registry --dir saved ${target}:1`
  await commands.verify(`${target}@${digest}`)
}
