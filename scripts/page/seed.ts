import { type Content, makeImage, makeIndex, sha256 } from '../lib/image.ts'
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

const mediaTypes = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
}

interface Artifact {
  artifactType?: string
  configType?: string
  layerType: string
  body: string
  subject?: Content['descriptor']
  annotations?: Record<string, string>
}

class Seeder {
  private readonly origin: string

  constructor(origin: string) {
    this.origin = origin
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
    const sizes = { layerCount: 4, layerBytes: 300_000, labels }
    const amd64 = await makeImage(sizes)
    const arm64 = await makeImage({ ...sizes, architecture: 'arm64' })
    const index = makeIndex([amd64, arm64])
    for (const tag of ['1.4.0', '1.4', 'latest']) await this.push('team/api', index, tag)
    await this.attach('team/api', index.descriptor)
    for (const [name, layerBytes] of [
      ['team/web', 900_000],
      ['team/worker', 500_000],
      ['public/docs', 200_000],
      ['alice/scratch', 120_000],
      ['infra/postgres', 1_600_000],
    ] as const) {
      await this.push(name, await makeImage({ layerCount: 3, layerBytes, labels: { name } }), 'latest')
    }
    await this.api('PATCH', 'repositories/team%2Fweb', { description: 'The web site' })
    for (let minor = 0; minor < 30; minor++) {
      await this.push(
        'team/worker',
        await makeImage({ layerCount: 1, layerBytes: 2000, labels: { minor: `${minor}` } }),
        `2.${minor}.0`,
      )
    }
  }

  async artifacts(): Promise<void> {
    await this.api('PUT', 'repositories/policies%2Fbase', { description: `Rules ${hostile.html}` })
    await this.artifact('policies/base', '1', {
      artifactType: 'application/vnd.cncf.openpolicyagent.config.v1+json',
      layerType: 'application/vnd.cncf.openpolicyagent.policy.layer.v1+rego',
      body: 'package base',
    })
  }

  /** Moves and deletes tags, so that there is something to put back. */
  async history(): Promise<void> {
    await this.push('team/web', await makeImage({ layerCount: 2, layerBytes: 400_000 }), 'latest')
    await this.push('team/web', await makeImage({ layerCount: 2, layerBytes: 410_000 }), 'next')
    await this.api('DELETE', 'repositories/team%2Fweb/tags/next')
    await this.push('team/old', await makeImage({ layerCount: 1, layerBytes: 50_000 }), 'latest')
    await this.api('DELETE', 'repositories/team%2Fold')
    const expiresAt = new Date(Date.now() + 20 * 86_400_000).toISOString()
    await this.api('PATCH', 'repositories/team%2Fapi/tags/1.4', { expiresAt })
    await this.api('PUT', 'quotas/team', { tagsMax: 40 })
  }

  /** Lets a policy expire some tags, and leaves others that it would expire. */
  async retention(): Promise<void> {
    const push = async (pull: number) =>
      this.push(
        'ci/app',
        await makeImage({ layerCount: 1, layerBytes: 3000, labels: { pull: `${pull}` } }),
        `pr-${pull}`,
      )
    for (let pull = 1; pull <= 6; pull++) await push(pull)
    await this.api('PUT', 'retention/policies/ci', { repositories: ['ci/**'], tags: ['pr-*'], newest: 3 })
    await this.api('POST', 'jobs', { kind: 'retain' })
    await this.jobsEnd()
    for (let pull = 7; pull <= 8; pull++) await push(pull)
  }

  /** Pulls as a reader, so that somebody has. */
  async pulls(): Promise<void> {
    const headers = { authorization: `Basic ${btoa(`bob:${password}`)}`, accept: mediaTypes.manifest }
    for (let count = 0; count < 3; count++) {
      await fetch(`${this.origin}/v2/team/web/manifests/latest`, { headers })
    }
  }

  private async jobsEnd(): Promise<void> {
    const headers = { authorization: `Basic ${btoa(`admin:${password}`)}` }
    for (;;) {
      const response = await fetch(`${this.origin}/api/v1/jobs`, { headers })
      const { items } = (await response.json()) as { items: { endedAt?: string }[] }
      if (items.every(({ endedAt }) => endedAt !== undefined)) return
      await Bun.sleep(50)
    }
  }

  /** Attaches a signature and an SBOM to a manifest. */
  private async attach(repository: string, subject: Content['descriptor']): Promise<void> {
    const { platform: _, ...plain } = subject
    await this.artifact(repository, undefined, {
      artifactType: 'application/vnd.cncf.notary.signature',
      layerType: 'application/jose+json',
      body: '{}',
      subject: plain,
    })
    await this.artifact(repository, undefined, {
      artifactType: 'application/spdx+json',
      layerType: 'application/spdx+json',
      body: JSON.stringify(sbom()),
      subject: plain,
    })
  }

  private async artifact(repository: string, tag: string | undefined, artifact: Artifact): Promise<void> {
    const {
      artifactType,
      configType = 'application/vnd.oci.empty.v1+json',
      layerType,
      body,
      ...rest
    } = artifact
    const encode = (text: string) => new TextEncoder().encode(text)
    const part = (mediaType: string, bytes: Uint8Array) => ({
      mediaType,
      digest: sha256(bytes),
      size: bytes.length,
    })
    const [config, layer] = [encode('{}'), encode(body)]
    const manifest = encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.manifest,
        ...(artifactType && { artifactType }),
        config: part(configType, config),
        layers: [part(layerType, layer)],
        ...rest,
      }),
    )
    const descriptor = part(mediaTypes.manifest, manifest)
    const blobs = new Map([config, layer, manifest].map((bytes) => [sha256(bytes), bytes]))
    await this.push(repository, { descriptor, blobs }, tag)
  }

  /** Pushes everything that the content has, and tags its top. */
  private async push(
    repository: string,
    { descriptor, blobs }: Content,
    tag = descriptor.digest,
  ): Promise<void> {
    const manifests: [string, Uint8Array][] = []
    for (const [digest, bytes] of blobs) {
      if (isManifest(bytes)) manifests.push([digest, bytes])
      else
        await this.send(
          'POST',
          `/v2/${repository}/blobs/uploads/?digest=${digest}`,
          bytes,
          'application/octet-stream',
        )
    }
    for (const [digest, bytes] of manifests) {
      const reference = digest === descriptor.digest ? tag : digest
      const type = JSON.parse(new TextDecoder().decode(bytes)).mediaType
      await this.send('PUT', `/v2/${repository}/manifests/${reference}`, bytes, type)
    }
  }

  private async api(method: string, path: string, body?: object): Promise<void> {
    await this.send(method, `/api/v1/${path}`, body && JSON.stringify(body), 'application/json')
  }

  private async send(
    method: string,
    path: string,
    body: string | Uint8Array | undefined,
    type: string,
  ): Promise<void> {
    const headers = { authorization: `Basic ${btoa(`admin:${password}`)}`, 'content-type': type }
    const response = await fetch(`${this.origin}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: typeof body === 'string' ? body : new Uint8Array(body) }),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  }
}

function isManifest(bytes: Uint8Array): boolean {
  if (bytes[0] !== 0x7b) return false
  const { mediaType } = JSON.parse(new TextDecoder().decode(bytes)) as { mediaType?: string }
  return mediaType === mediaTypes.manifest || mediaType === mediaTypes.index
}

/** Returns an SPDX document, one of whose packages is hostile. */
function sbom(): object {
  const names = [
    'alpine-baselayout',
    'busybox',
    'ca-certificates',
    'libcrypto3',
    'musl',
    'zlib',
    hostile.html,
  ]
  const packages = names.map((name, index) => ({
    SPDXID: `SPDXRef-${index}`,
    name,
    versionInfo: `1.${index}.0`,
    licenseConcluded: 'MIT',
    downloadLocation: hostile.link,
  }))
  return { spdxVersion: 'SPDX-2.3', name: 'api', packages }
}
