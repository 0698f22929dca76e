import { encode, makeImage, makeIndex, makePlatforms, packArtifact } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import { hostile, password } from './hostile.ts'

/** Puts content of each kind, accounts and a history into a server. */
export async function seed(origin: string): Promise<void> {
  const server = new Seeder(origin)
  await server.accounts()
  await server.images()
  await server.artifacts()
  await server.history()
  await server.retention()
  await server.pulls()
}

class Seeder {
  private readonly registry: Registry
  /** Somebody who may only pull. */
  private readonly reader: Registry

  constructor(origin: string) {
    const { host } = new URL(origin)
    this.registry = new Registry(`admin:${password}@${host}`)
    this.reader = new Registry(`bob:${password}@${host}`)
  }

  async accounts(): Promise<void> {
    for (const name of ['alice', 'bob']) await this.api('PUT', `users/${name}`, { password })
    await this.api('PUT', 'robots/alice%2Bci', {})
    await this.api('PUT', 'groups/platform', {})
    await this.api('PATCH', 'groups/platform', { add: ['alice'] })
    await this.api('PUT', 'grants', { subject: 'bob', pattern: 'team/**', role: 'reader' })
    await this.api('PUT', 'grants', { subject: 'group:platform', pattern: 'team/**', role: 'admin' })
    await this.api('PUT', 'grants', { subject: 'anonymous', pattern: 'public/**', role: 'reader' })
    // Nothing listens there: the upstream is shown as it is, and nothing is fetched.
    await this.api('PUT', 'upstreams/registry.example', { url: 'http://127.0.0.1:9', offline: true })
    await this.api('POST', 'accounts/alice%2Bci/tokens', { name: 'pipeline', expiresInDays: 90 })
  }

  async images(): Promise<void> {
    const labels = {
      'org.opencontainers.image.title': 'api',
      'org.opencontainers.image.source': 'https://git.example.com/team/api',
      'org.opencontainers.image.revision': '4f866d2c91b0',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.url': hostile.link,
      'com.example.hostile': hostile.html,
      'com.example.reversed': hostile.reversed,
    }
    const index = makeIndex(await makePlatforms({ layerCount: 4, layerBytes: 300_000, labels }))
    for (const tag of ['1.4.0', '1.4', 'latest']) await this.registry.pushContent('team/api', tag, index)
    const signature = { mediaType: 'application/jose+json', bytes: encode({}) }
    const packages = { mediaType: 'application/spdx+json', bytes: encode(sbom()) }
    for (const artifact of [
      packArtifact('application/vnd.cncf.notary.signature', signature, index.descriptor),
      packArtifact('application/spdx+json', packages, index.descriptor),
    ])
      await this.registry.pushContent('team/api', artifact.descriptor.digest, artifact)
    for (const [name, layerBytes] of [
      ['team/web', 900_000],
      ['team/worker', 500_000],
      ['public/docs', 200_000],
      ['alice/scratch', 120_000],
      ['infra/postgres', 1_600_000],
    ] as const) {
      await this.push(name, 'latest', { layerCount: 3, layerBytes, labels: { name } })
    }
    await this.api('PATCH', 'repositories/team%2Fweb', { description: 'The web site' })
    for (let minor = 0; minor < 30; minor++)
      await this.push('team/worker', `2.${minor}.0`, { layerCount: 1, layerBytes: 2000 })
  }

  async artifacts(): Promise<void> {
    await this.api('PUT', 'repositories/policies%2Fbase', { description: `Rules ${hostile.html}` })
    const type = 'application/vnd.cncf.openpolicyagent'
    const policy = {
      mediaType: `${type}.policy.layer.v1+rego`,
      bytes: new TextEncoder().encode('package base'),
    }
    await this.registry.pushContent('policies/base', '1', packArtifact(`${type}.config.v1+json`, policy))
  }

  /** Moves and deletes tags, so that there is something to put back. */
  async history(): Promise<void> {
    await this.push('team/web', 'latest', { layerCount: 2, layerBytes: 400_000 })
    await this.push('team/web', 'next', { layerCount: 2, layerBytes: 410_000 })
    await this.api('DELETE', 'repositories/team%2Fweb/tags/next')
    await this.push('team/old', 'latest', { layerCount: 1, layerBytes: 50_000 })
    await this.api('DELETE', 'repositories/team%2Fold')
    const expiresAt = new Date(Date.now() + 20 * 86_400_000).toISOString()
    await this.api('PATCH', 'repositories/team%2Fapi/tags/1.4', { expiresAt })
    await this.api('PUT', 'quotas/team', { tagsMax: 40 })
  }

  /** Lets a policy expire some tags, and leaves others that it would expire. */
  async retention(): Promise<void> {
    const push = (pull: number) => this.push('ci/app', `pr-${pull}`, { layerCount: 1, layerBytes: 3000 })
    for (let pull = 1; pull <= 6; pull++) await push(pull)
    await this.api('PUT', 'retention/policies/ci', { repositories: ['ci/**'], tags: ['pr-*'], newest: 3 })
    await this.registry.runJob('retain')
    for (let pull = 7; pull <= 8; pull++) await push(pull)
  }

  /** Pulls as a reader, so that somebody has. */
  async pulls(): Promise<void> {
    for (let count = 0; count < 3; count++) await this.reader.get('/v2/team/web/manifests/latest')
  }

  private async push(repository: string, tag: string, image: Parameters<typeof makeImage>[0]): Promise<void> {
    await this.registry.pushContent(repository, tag, await makeImage(image))
  }

  private async api(method: string, path: string, body?: object): Promise<void> {
    await this.registry.api(method, `/${path}`, body)
  }
}

/** Returns an SPDX document, one of whose packages is hostile. */
function sbom(): object {
  const names = ['alpine-baselayout', 'busybox', 'libcrypto3', 'musl', 'zlib', hostile.html]
  const packages = names.map((name, index) => ({
    SPDXID: `SPDXRef-${index}`,
    name,
    versionInfo: `1.${index}.0`,
    licenseConcluded: 'MIT',
    downloadLocation: hostile.link,
  }))
  return { spdxVersion: 'SPDX-2.3', name: 'api', packages }
}
