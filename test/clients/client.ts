import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { runCommand } from '../../scripts/lib/command.ts'
import {
  type Content,
  type Descriptor,
  type Image,
  isDigestOf,
  makeIndex,
  makePlatforms,
  sha256,
  writeDockerArchive,
  writeLayout,
} from '../../scripts/lib/image.ts'
import { Registry } from '../../scripts/lib/registry.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { bringTools, type ToolName } from '../../scripts/toolchain/toolchain.ts'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import type { Acts } from './acts.ts'
import type { Home } from './homes.ts'

/** A real client of registries, with its cases. */
export interface Client {
  name: string
  tools: ToolName[]
  /** Prepares the client's home. */
  setUp?(home: string): Promise<Home>
  /** Adds the case that all clients have: push, pull by tag, pull by digest. */
  acts?: Acts
  /** A case is lines of Bash, or a function. */
  cases: Record<string, string | ((at: Case) => Promise<unknown>)>
}

/** What a case can use. */
export interface Case {
  /** The registry, `host:port`, which speaks plain HTTP. */
  registry: string
  /** An empty folder, where the commands run. */
  folder: string
  samples: Samples
  sh: Shell
  /** Returns a repository of the registry. */
  published(repository: string): Published
}

/**
 * Runs lines of Bash until one fails, and returns what they print.
 * @throws CommandError with the lines, their trace and their output.
 */
export type Shell = (
  lines: string,
  more?: { env?: Record<string, string>; input?: string },
) => Promise<string>

/** Images for all cases of a file. Each has a layout and a docker archive in the folder `$C`. */
export interface Samples {
  folder: string
  amd64: Image
  arm64: Image
  /** An index of both. */
  index: Content
}

/** The flags in the lines of `acts.ts`, where there are none. */
const noFlags = { P: '', TO: '', FROM: '', A: '', TAG: '1' }

const FUNCTIONS = `
# is A B: fails unless both are the same, and not empty.
is() { [ -n "$1" ] && [ "$1" = "$2" ] || { echo "this is $1, not $2" >&2; return 1; }; }
# fails PATTERN COMMAND...: runs a command that must fail and say this.
fails() {
  local said pattern=$1; shift
  if said=$("$@" 2>&1); then echo "this must fail: $*" >&2; return 1; fi
  grep -E "$pattern" <<<"$said" || { echo "$said, not $pattern" >&2; return 1; }
}
# layers ARCHIVE: prints the hash of each layer in an archive of docker save.
layers() {
  for layer in $(tar -xOf $1 manifest.json | grep -o '"Layers":\\[[^]]*' | grep -o '[^"[]*\\.tar'); do
    tar -xOf $1 $layer | sha256sum
  done
}
`

/** Returns a function that runs commands of these tools in `folder`, which is their home unless `env` says otherwise. */
export async function openShell(
  folder: string,
  tools: readonly ToolName[],
  env: Record<string, string>,
): Promise<Shell> {
  const paths = Object.values(await bringTools([...tools])).map((path) => dirname(path))
  const temporary = join(folder, '.tmp')
  await mkdir(temporary, { recursive: true })
  const functions = join(temporary, 'functions.sh')
  await Bun.write(functions, FUNCTIONS)
  const common = {
    PATH: [...new Set([...paths, '/usr/sbin', '/usr/bin', '/sbin', '/bin'])].join(delimiter),
    HOME: folder,
    TMPDIR: temporary,
    BASH_ENV: functions,
    ...noFlags,
    ...env,
  }
  return async (lines, more = {}) => {
    const input = more.input === undefined ? {} : { input: more.input }
    const options = { cwd: folder, env: { ...common, ...more.env }, ...input }
    return (await runCommand(['bash', '-euxo', 'pipefail', '-c', lines], options)).trim()
  }
}

/** Writes the images of all cases into a folder. */
export async function makeSamples(folder: string): Promise<Samples> {
  const [amd64, arm64] = await makePlatforms()
  const index = makeIndex([amd64, arm64])
  for (const [name, content] of Object.entries({ amd64, arm64, index }))
    await writeLayout(join(folder, name), content, '1')
  for (const [name, image] of Object.entries({ amd64, arm64 }))
    await writeDockerArchive(join(folder, `${name}.tar`), image, 'cay/image:1')
  return { folder, amd64, arm64, index }
}

/** Returns the variables of a sample for the lines of `acts.ts`. */
export function variablesOf(folder: string, { descriptor, config }: Image): Record<string, string> {
  return { IMAGE: folder, DIGEST: descriptor.digest, ID: sha256(config).slice(7) }
}

/** Returns the flags for a registry without TLS. */
export function plainFlags({ plain }: Acts, registry: string): Record<string, string> {
  return Object.fromEntries(Object.entries(plain).map(([name, flag]) => [name, flag.replace('$R', registry)]))
}

/**
 * Tests clients one after the other against one registry, which is the one at `$CAY_ADDRESS` or is started for them. Each
 * has a home of its own. At its end, everything that it left is found by the catalog and the tags, and deleted.
 */
export function testClients(...clients: Client[]): void {
  const stack = new AsyncDisposableStack()
  let samples: Samples
  let registry: string
  beforeAll(async () => {
    const folder = stack.use(await temporaryFolder('clients'))
    samples = await makeSamples(folder.path)
    registry = process.env.CAY_ADDRESS ?? stack.use(await startServer()).address
  })
  afterAll(() => stack.disposeAsync())
  for (const client of clients) describe(client.name, () => testClient(client, () => ({ samples, registry })))
}

function testClient(client: Client, world: () => { samples: Samples; registry: string }): void {
  const { name, acts, cases } = client
  let home: Home | undefined
  let before: string[]
  beforeAll(async () => {
    const { samples, registry } = world()
    before = await listRepositories(registry)
    const folder = join(samples.folder, name)
    await mkdir(join(folder), { recursive: true })
    home = await client.setUp?.(folder)
  })
  afterAll(() => home?.tearDown?.())
  const open = async (title: string): Promise<Case> => {
    const { samples, registry } = world()
    const own = join(samples.folder, name)
    const folder = join(own, title.replaceAll(/\W+/g, '-').slice(0, 60))
    const image = variablesOf(join(samples.folder, 'amd64'), samples.amd64)
    const flags = acts === undefined ? {} : plainFlags(acts, registry)
    const env = { HOME: own, R: registry, C: samples.folder, ...image, ...flags, ...home?.env }
    const published = (repository: string) => new Published(registry, repository)
    return { registry, folder, samples, sh: await openShell(folder, client.tools, env), published }
  }
  const add = (title: string, work: (at: Case) => Promise<unknown>) =>
    test(title, async () => void (await work(await open(title))))
  if (acts !== undefined)
    add('pushes an image, and pulls it by tag and by digest', (at) => tryActs(acts, name, at))
  for (const [title, work] of Object.entries(cases))
    add(title, typeof work === 'string' ? ({ sh }) => sh(work) : work)
  add('leaves nothing that cannot be found and deleted', async ({ registry }) => {
    for (const repository of (await listRepositories(registry)).filter((one) => !before.includes(one)))
      await deleteAll(new Published(registry, repository))
  })
}

/** What every client can do. */
async function tryActs(
  { push, pull, tag = '1', keepsDigest }: Acts,
  client: string,
  at: Case,
): Promise<void> {
  const repository = `${client}/image`
  const N = `${at.registry}/${repository}`
  await at.sh(push, { env: { N, TAG: tag } })
  const published = at.published(repository)
  await published.expectTags(tag)
  const { digest } = await published.manifest(tag)
  if (keepsDigest) expect(digest).toBe(at.samples.amd64.descriptor.digest)
  for (const REF of [`${N}:${tag}`, `${N}@${digest}`]) await at.sh(pull, { env: { N, REF, TAG: tag } })
}

/** Returns the repositories of a registry, by its catalog. */
async function listRepositories(registry: string): Promise<string[]> {
  return (await new Registry(registry).get('/v2/_catalog')).json<{ repositories: string[] }>().repositories
}

/** Finds each tag of a repository and its manifest, and deletes it, until none is left. */
async function deleteAll(published: Published): Promise<void> {
  for (let [tag] = await published.tags(); tag !== undefined; [tag] = await published.tags())
    await published.delete(tag)
}

/** The Accept header of a client that accepts every kind of manifest. */
const { ociIndex, ociManifest, dockerList, dockerManifest } = MEDIA_TYPE
const accept = [ociIndex, ociManifest, dockerList, dockerManifest, '*/*'].join(', ')

/** A repository as other clients see it, by plain HTTP. */
export class Published {
  readonly #registry: Registry
  readonly repository: string

  constructor(registry: string, repository: string) {
    this.#registry = new Registry(registry)
    this.repository = repository
  }

  /** Returns its tags in the registry's order; none if the repository does not exist. */
  async tags(): Promise<string[]> {
    const answer = await this.#registry.expect([200, 404], 'GET', `/v2/${this.repository}/tags/list`)
    return answer.status === 404 ? [] : answer.json<{ tags: string[] }>().tags
  }

  /** Returns a manifest and its digest, which must match the bytes. */
  async manifest(reference: string) {
    const path = `/v2/${this.repository}/manifests/${reference}`
    const answer = await this.#registry.get(path, { accept })
    const digest = answer.headers.get('docker-content-digest') ?? ''
    expect(isDigestOf(digest, answer.bytes)).toBe(true)
    return { digest, mediaType: answer.headers.get('content-type'), json: JSON.parse(answer.text) }
  }

  /** Returns the manifests that refer to one, of one artifact type or of all. */
  async referrers(digest: string, type?: string): Promise<Descriptor[]> {
    const filter = type === undefined ? '' : `?artifactType=${encodeURIComponent(type)}`
    const path = `/v2/${this.repository}/referrers/${digest}${filter}`
    return (await this.#registry.get(path)).json<{ manifests: Descriptor[] }>().manifests
  }

  /** Returns a blob, or its bytes from `first` to `last`. */
  async blob(digest: string, first?: number, last?: number): Promise<Uint8Array> {
    const [status, headers] = first === undefined ? [200, {}] : [206, { range: `bytes=${first}-${last}` }]
    const path = `/v2/${this.repository}/blobs/${digest}`
    return (await this.#registry.expect([status], 'GET', path, { headers })).bytes
  }

  /** Pushes content, for clients that only pull it. */
  async push(tag: string, content: Content): Promise<void> {
    await this.#registry.pushContent(this.repository, tag, content)
  }

  /** Fails unless the catalog has the repository, and exactly these tags are in it. */
  async expectTags(...tags: string[]): Promise<void> {
    expect(await listRepositories(this.#registry.address)).toContain(this.repository)
    expect(await this.tags()).toEqual(tags)
  }

  /** Deletes a manifest with its tags. */
  async delete(reference: string): Promise<void> {
    const { digest } = await this.manifest(reference)
    await this.#registry.expect([202], 'DELETE', `/v2/${this.repository}/manifests/${digest}`)
    await this.expectGone(reference, digest)
  }

  /** Fails if one of these tags or digests still exists. */
  async expectGone(...references: string[]): Promise<void> {
    for (const reference of references)
      await this.#registry.expect([404], 'GET', `/v2/${this.repository}/manifests/${reference}`)
    const tags = await this.tags()
    expect(references.filter((reference) => tags.includes(reference))).toEqual([])
  }
}
