import { join } from 'node:path'
import {
  type Content,
  encode,
  type ImageOptions,
  makeImage,
  makeIndex,
  makePlatforms,
  packArtifact,
  packManifest,
} from '../../scripts/lib/image.ts'
import { Registry } from '../../scripts/lib/registry.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'

/** The password of every account. */
export const password = 'correct-horse-battery'

/** Text that tries to be markup, a script, a link and something else than it is. */
export const hostile = {
  html: '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>',
  link: 'javascript:document.title="owned"',
  reversed: 'safe\u202egpj.exe',
}

/** A running registry with content of each kind, accounts and a history. `await using` stops it. */
export interface SeededRegistry extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  origin: string
  /** Its data folder. */
  data: string
  /** A client of the server admin. */
  admin: Registry
}

/**
 * Starts the executable with the accounts admin, alice (who may change team/**) and bob (who may pull team/**), and fills
 * it.
 */
export async function startSeededRegistry(): Promise<SeededRegistry> {
  await using resources = new AsyncDisposableStack()
  const data = join(resources.use(await temporaryFolder('page')).path, 'data')
  const env = { CAY_ADMIN_PASSWORD: password }
  const { address } = resources.use(await startServer({ data, access: 'accounts', env }))
  const admin = new Registry(`admin:${password}@${address}`)
  for (const fill of [addAccounts, pushImages, pushFiles, pushArtifacts, makeHistory, expireTags])
    await fill(admin)
  const bob = new Registry(`bob:${password}@${address}`)
  for (let count = 0; count < 3; count++) await bob.get('/v2/team/web/manifests/latest')
  const kept = resources.move()
  return { origin: `http://${address}`, data, admin, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

async function addAccounts(admin: Registry): Promise<void> {
  for (const name of ['alice', 'bob']) await admin.api('PUT', `/users/${name}`, { password })
  await admin.api('PUT', '/robots/alice%2Bci', {})
  await admin.api('PUT', '/groups/platform', {})
  await admin.api('PATCH', '/groups/platform', { add: ['alice'] })
  for (const [subject, pattern, role] of [
    ['bob', 'team/**', 'reader'],
    ['group:platform', 'team/**', 'admin'],
    ['anonymous', 'public/**', 'reader'],
  ])
    await admin.api('PUT', '/grants', { subject, pattern, role })
  // Nothing listens there: the upstream is shown as it is, and nothing is fetched.
  await admin.api('PUT', '/upstreams/registry.example', { url: 'http://127.0.0.1:9', offline: true })
  await admin.api('POST', '/accounts/alice%2Bci/tokens', { name: 'pipeline', expiresInDays: 90 })
}

async function pushImages(admin: Registry): Promise<void> {
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
  for (const tag of ['1.4.0', '1.4', 'latest']) await admin.pushContent('team/api', tag, index)
  await attach(admin, 'team/api', 'application/vnd.cncf.notary.signature', {}, index)
  await attach(admin, 'team/api', 'application/spdx+json', sbom(), index)
  for (const [name, layerBytes] of [
    ['team/web', 900_000],
    ['team/worker', 500_000],
    ['public/docs', 200_000],
    ['alice/scratch', 120_000],
    ['infra/postgres', 1_600_000],
  ] as const) {
    await push(admin, name, 'latest', { layerCount: 3, layerBytes, labels: { name } })
  }
  await admin.api('PATCH', '/repositories/team%2Fweb', { description: 'The web site' })
  for (let minor = 0; minor < 30; minor++)
    await push(admin, 'team/worker', `2.${minor}.0`, { layerCount: 1, layerBytes: 2000 })
}

/** Pushes two versions of an image: a file is changed, one is added, and one is removed. */
async function pushFiles(admin: Registry): Promise<void> {
  const labels = {
    'org.opencontainers.image.source': 'https://git.example.com/team/site',
    'org.opencontainers.image.description': hostile.html,
  }
  const name = 'srv/<img src=x onerror=document.title=1>\u202etxt.exe'
  const same = { [name]: 'hostile\n', 'srv/assets/site.css': 'h1 { margin: 0 }\n' }
  const photo = crypto.getRandomValues(new Uint8Array(60_000))
  const first = { ...same, 'srv/index.html': '<h1>The site</h1>\n', 'srv/assets/photo.bin': photo }
  const second = {
    ...same,
    'srv/index.html': '<h1>The next site</h1>\n',
    'srv/news.html': '<h1>The news</h1>\n',
  }
  await push(admin, 'team/site', '1.0', { files: [first], labels })
  await push(admin, 'team/site', '2.0', { files: [second], labels })
}

async function pushArtifacts(admin: Registry): Promise<void> {
  await admin.api('PUT', '/repositories/policies%2Fbase', { description: `Rules ${hostile.html}` })
  const policy = 'application/vnd.cncf.openpolicyagent'
  const rules = { mediaType: `${policy}.policy.layer.v1+rego`, bytes: encode('package base') }
  await admin.pushContent('policies/base', '1', packArtifact(`${policy}.config.v1+json`, rules))
  await admin.pushContent('charts/gateway', '3.2.1', await chart())
  const tool = await makeImage({ layerCount: 2, layerBytes: 150_000 })
  await admin.pushContent('team/tool', '3.1', tool)
  const bundle = 'application/vnd.dev.sigstore.bundle.v0.3+json'
  await attach(admin, 'team/tool', bundle, { predicate: { builder: { id: hostile.html } } }, tool)
  const weights = { mediaType: 'application/vnd.example.weights', bytes: new Uint8Array(200_000) }
  const model = packArtifact('application/vnd.example.model', weights)
  await admin.pushContent('models/summary', 'v1', model)
  await attach(admin, 'models/summary', 'application/vnd.example.note', { note: hostile.html }, model)
}

/** Returns a chart as helm packages it. */
async function chart(): Promise<Content> {
  const metadata = { apiVersion: 'v2', name: 'gateway', version: '3.2.1', type: 'application' }
  const about = { ...metadata, description: 'Routes traffic to the services' }
  const text = `${about.description}. ${hostile.html} [a link](${hostile.link}) ${hostile.reversed}`
  const archive = new Bun.Archive({
    'gateway/Chart.yaml': Bun.YAML.stringify(about, undefined, 2),
    'gateway/values.yaml': 'replicas: 3\n',
    'gateway/README.md': `# Gateway\n\n${text}\n`,
  })
  const bytes = Bun.gzipSync(Buffer.from(await archive.bytes()))
  const type = 'application/vnd.cncf.helm'
  const config = { mediaType: `${type}.config.v1+json`, bytes: encode(about) }
  return packManifest(config, [{ mediaType: `${type}.chart.content.v1.tar+gzip`, bytes }])
}

/** Moves and deletes tags, so that there is something to restore. */
async function makeHistory(admin: Registry): Promise<void> {
  await push(admin, 'team/web', 'latest', { layerCount: 2, layerBytes: 400_000 })
  await push(admin, 'team/web', 'next', { layerCount: 2, layerBytes: 410_000 })
  await admin.api('DELETE', '/repositories/team%2Fweb/tags/next')
  await push(admin, 'team/old', 'latest', { layerCount: 1, layerBytes: 50_000 })
  await admin.api('DELETE', '/repositories/team%2Fold')
  const expiresAt = new Date(Date.now() + 20 * 86_400_000).toISOString()
  await admin.api('PATCH', '/repositories/team%2Fapi/tags/1.4', { expiresAt })
  await admin.api('PUT', '/quotas/team', { tagsMax: 40 })
}

/** Lets a policy expire some tags, and leaves others that it would expire. */
async function expireTags(admin: Registry): Promise<void> {
  const pushPull = (pull: number) => push(admin, 'ci/app', `pr-${pull}`, { layerCount: 1, layerBytes: 3000 })
  for (let pull = 1; pull <= 6; pull++) await pushPull(pull)
  await admin.api('PUT', '/retention/policies/ci', { repositories: ['ci/**'], tags: ['pr-*'], newest: 3 })
  await admin.runJob('retain')
  for (let pull = 7; pull <= 8; pull++) await pushPull(pull)
}

async function push(admin: Registry, repository: string, tag: string, image: ImageOptions): Promise<void> {
  await admin.pushContent(repository, tag, await makeImage(image))
}

/** Pushes a document that refers to other content. */
async function attach(admin: Registry, name: string, type: string, document: object, subject: Content) {
  const artifact = packArtifact(type, { mediaType: type, bytes: encode(document) }, subject.descriptor)
  await admin.pushContent(name, artifact.descriptor.digest, artifact)
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
