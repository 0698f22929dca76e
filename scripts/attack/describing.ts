import { encode, mediaTypes, sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType, type Registry } from '../lib/registry.ts'
import { whileRepeating } from '../lib/repeated.ts'
import { type AttackCase, atLeast, atMost, longestLivez, pullsBeside } from './case.ts'
import { ATTACKER, CHECKER, CONFIG, described, LAYER, MANIFEST, pushImage } from './target.ts'

const REPOSITORY = `${ATTACKER}/large`
const RESOURCE = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}`
const SECONDS = 4

/** Much more than the server holds a request up for: the client and whatever else runs take the processors, too. */
const LIVEZ_MILLISECONDS_MAX = 300

/** A manifest with as many annotations as there can be, shown again and again by the admin API. */
export const describing: AttackCase = {
  name: 'describing',
  async run(target) {
    const { attacker } = target
    const manifest = largeManifest()
    await pushImage(attacker, REPOSITORY, 'base')
    const push = () => attacker.putManifest(REPOSITORY, 'large', manifest)
    const pushing = await longestLivez(target, push)
    const beside = await pullsBeside(target, () => attacker.send('GET', `${RESOURCE}/manifests/large`))
    const what = 'pulls of others while a manifest of 4 MB with 49,000 annotations is shown'
    return [
      atLeast(what, '0.8/s (3,679/s alone)', beside.pulls, '/s', 1000),
      atMost('the longest /livez meanwhile', '1,300', beside.livez, 'ms', LIVEZ_MILLISECONDS_MAX),
      atMost('the longest /livez while it is pushed', 'not measured', pushing, 'ms', LIVEZ_MILLISECONDS_MAX),
    ]
  },
}

/** Conversions of an image whose config has 1 MB. */
export const conversions: AttackCase = {
  name: 'conversions',
  async run(target) {
    const { attacker } = target
    const config = largeConfig()
    await pushImage(attacker, REPOSITORY, 'base')
    await attacker.postBlob(REPOSITORY, config)
    const tags = Array.from({ length: 24 }, (_, i) => `t${i}`)
    for (const tag of tags) await attacker.pushManifest(REPOSITORY, tag, imageWithConfig(config))
    const headers = { accept: 'application/vnd.docker.distribution.manifest.v1+prettyjws' }
    const pull = (tag: string) => attacker.send('GET', `/v2/${REPOSITORY}/manifests/${tag}`, { headers })
    const longest = await longestLivez(target, () => Promise.all(tags.map(pull)))
    const what = 'the longest /livez while 24 tags of an image with a config of 1 MB are converted'
    return [atMost(what, '2,700', longest, 'ms', LIVEZ_MILLISECONDS_MAX)]
  },
}

/** Lists of referrers from an index with as many entries as there can be, and their tree. */
export const referrers: AttackCase = {
  name: 'referrers',
  async run(target) {
    const { attacker } = target
    await pushImage(attacker, REPOSITORY)
    const subject = sha256(MANIFEST)
    const pushed = await putIndex(attacker, REPOSITORY, subject.replace(':', '-'), largeIndex())
    if (pushed.status !== 201) throw new Error(`the index cannot be pushed: ${pushed.status}`)
    const beside = await pullsBeside(target, async () => {
      await attacker.send('GET', `/v2/${REPOSITORY}/referrers/${subject}`)
      await attacker.send('GET', `${RESOURCE}/manifests/latest/referrers`)
    })
    return [
      atLeast(
        'pulls of others while an index of 12,000 referrers is listed',
        '3.5',
        beside.pulls,
        '/s',
        1000,
      ),
      atMost('the longest /livez meanwhile', '2,793', beside.livez, 'ms', LIVEZ_MILLISECONDS_MAX),
    ]
  },
}

/** Indexes with as many entries as there can be, pushed again and again. */
export const largePushes: AttackCase = {
  name: 'large-pushes',
  async run({ attacker, checker }) {
    // Made first, so that the attack takes nothing of this process.
    const bodies = Array.from({ length: 40 }, (_, at) => new TextEncoder().encode(largeIndex(String(at))))
    const attack = async () => {
      const { status } = await putIndex(attacker, REPOSITORY, 'large', bodies.pop() ?? '{}')
      if (status === 503) await Bun.sleep(100)
    }
    let pushes = 0
    const push = async () => {
      for (const until = performance.now() + SECONDS * 1000; performance.now() < until; pushes++)
        await pushImage(checker, `${CHECKER}/app`)
    }
    await whileRepeating(attack, push, 4)
    const what = 'pushes of another while indexes of 12,000 entries are pushed'
    return [atLeast(what, '0.8/s (109/s alone)', pushes / SECONDS, '/s', 10)]
  },
}

/** Pushes an index, which may be refused. */
export function putIndex(client: Registry, repository: string, tag: string, body: Uint8Array | string) {
  return client.putManifest(repository, tag, body, mediaTypes.index)
}

/** Returns the manifest of the image with another config. */
export function imageWithConfig(config: Uint8Array): Uint8Array {
  return imageManifest(described(config), [described(LAYER)], 'to convert')
}

let digests: string[] | undefined

/** As many entries as an index may have. */
export function largeIndex(note = ''): string {
  const encoder = new TextEncoder()
  digests ??= Array.from({ length: 12_000 }, (_, at) => sha256(encoder.encode(String(at))))
  const mediaType = mediaTypes.index
  const manifests = digests.map((digest) => ({ mediaType, digest, size: 1 }))
  return JSON.stringify({ schemaVersion: 2, mediaType, manifests, annotations: { note } })
}

/** As many annotations as a manifest may have: with 200,000 it is refused. */
export function largeManifest(): string {
  const annotations = Object.fromEntries(Array.from({ length: 49_000 }, (_, i) => [`k${i}`, 'v'.repeat(60)]))
  const config = { mediaType: mediaTypes.config, ...described(CONFIG) }
  const manifest = { schemaVersion: 2, mediaType: manifestMediaType, config, layers: [], annotations }
  return JSON.stringify(manifest)
}

/** Almost 1 MB, for an image of one layer. */
export function largeConfig(): Uint8Array {
  const history = Array.from({ length: 1900 }, (_, i) => ({
    created_by: `RUN ${i} ${'x'.repeat(450)}`,
    empty_layer: i > 0,
  }))
  const rootfs = { type: 'layers', diff_ids: [sha256(LAYER)] }
  return encode({ architecture: 'amd64', os: 'linux', rootfs, history })
}
