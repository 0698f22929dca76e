import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { basename, join } from 'node:path'
import { makeImage } from '../../lib/image.ts'
import { Registry } from '../../lib/registry.ts'
import type { CaseContext, Client } from '../client.ts'
import { Published } from '../published.ts'

const signatureType = 'application/vnd.cncf.notary.signature'

/** notation: Notary Project signatures, as referrers or under the tag of the referrers tag schema. */
export const notation: Client = {
  name: 'notation',
  tools: ['notation'],
  async setUp(home) {
    return { env: { XDG_CONFIG_HOME: join(home, 'config') } }
  },
  cases: {
    'sign, list, inspect and verify by referrers': (context) => signTwice(context, 'jws'),
    'a COSE signature': (context) => signTwice(context, 'cose'),
    async 'sign and verify by the referrers tag schema'(context) {
      const { digest, published, notation, sign } = await prepare(context, 'notation/tags')
      await sign('--force-referrers-tag=true')
      await published.expectTags('1', digest.replace(':', '-'))
      match(await notation('verify'), /Successfully verified/)
    },
  },
}

async function prepare({ registry, folder, run }: CaseContext, repository: string) {
  const image = await makeImage({ layerBytes: 1000 })
  await new Registry(registry).pushContent(repository, '1', image)
  const identity = `${basename(repository)}.example.org`
  await run`notation cert generate-test ${identity}`
  const trusted = {
    name: 'test',
    registryScopes: ['*'],
    signatureVerification: { level: 'strict' },
    trustStores: [`ca:${identity}`],
    trustedIdentities: ['*'],
  }
  await Bun.write(join(folder, 'policy.json'), JSON.stringify({ version: '1.0', trustPolicies: [trusted] }))
  await run`notation policy import --force policy.json`
  const { digest } = image.descriptor
  const target = ['--insecure-registry', `${registry}/${repository}@${digest}`]
  return {
    digest,
    published: new Published(registry, repository),
    sign: (...flags: string[]) => run`notation sign --key ${identity} ${flags} ${target}`,
    notation: (...command: string[]) => run`notation ${command} ${target}`,
  }
}

async function signTwice(context: CaseContext, format: 'jws' | 'cose'): Promise<void> {
  const { digest, published, notation, sign } = await prepare(context, `notation/${format}`)
  await rejects(notation('verify'), /no signature is associated/)
  for (let count = 1; count <= 2; count++) {
    await sign('--force-referrers-tag=false', '--signature-format', format)
    equal((await published.referrers(digest, signatureType)).length, count)
  }
  await published.expectTags('1')
  match(await notation('verify'), /Successfully verified/)
  const signatures = (await published.referrers(digest)).map((referrer) => referrer.digest)
  const listed = await notation('list')
  deepEqual(
    signatures.filter((signature) => listed.includes(signature)),
    signatures,
  )
  const inspected = JSON.parse(await notation('inspect', '--output', 'json'))
  equal(inspected.Signatures.length, 2)
  for (const signature of signatures) await published.delete(signature)
  await rejects(notation('verify'), /no signature is associated/)
}
